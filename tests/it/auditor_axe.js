// What axe-core and a ruler find on the page as it is shown now. Runs in the page, sent by WebDriver after axe-core.
const [width, tags] = arguments;
const done = arguments[arguments.length - 1];

const root = document.documentElement;
const html = node => node.outerHTML.replace(/\s+/g, ' ').slice(0, 160);
// The innermost ones: what is around them is wide because of them.
const tooWide = () => [...document.body.querySelectorAll('*')]
  .filter(node => node.getBoundingClientRect().right > width + 0.5)
  .filter(node => ![...node.children].some(child => child.getBoundingClientRect().right > width + 0.5))
  .slice(0, 3).map(html);
const wide = root.scrollWidth > width ? { scroll: root.scrollWidth, nodes: tooWide() } : null;

axe.run(document, { runOnly: { type: 'tag', values: tags }, resultTypes: ['violations'] }).then(
  found => done({
    wide,
    violations: found.violations.map(rule => ({
      rule: rule.id,
      help: rule.help,
      nodes: rule.nodes.map(node => ({
        node: node.html.replace(/\s+/g, ' ').slice(0, 160),
        why: [...node.any, ...node.all, ...node.none].map(check => check.message).join('; '),
      })),
    })),
  }),
  error => done({ error: String(error) }),
);
