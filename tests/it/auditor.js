// What the auditor wants to know of a page that has just been loaded. Runs in the page, sent by WebDriver.
// Answers with one object.
const done = arguments[arguments.length - 1];

const shifts = [];
const note = entries => entries.forEach(entry => {
  if (entry.hadRecentInput) return;
  const node = entry.sources.map(source => source.node && (source.node.outerHTML || source.node.textContent))[0];
  shifts.push({ value: entry.value, node: String(node).slice(0, 160) });
});
const observer = new PerformanceObserver(list => note(list.getEntries()));
observer.observe({ type: 'layout-shift', buffered: true });

const onWire = entry => Math.max(entry.transferSize || 0, entry.encodedBodySize || 0);
const answer = () => {
  note(observer.takeRecords());
  observer.disconnect();
  const navigation = performance.getEntriesByType('navigation')[0];
  const resources = performance.getEntriesByType('resource')
    .filter(entry => !entry.name.startsWith('data:') && !['img', 'image'].includes(entry.initiatorType));
  done({
    status: navigation.responseStatus,
    path: location.pathname,
    title: document.title,
    lang: document.documentElement.lang,
    headings: document.querySelectorAll('h1').length,
    mains: document.querySelectorAll('main, [role=main]').length,
    shifts,
    bytes: [navigation, ...resources].map(onWire).reduce((sum, bytes) => sum + bytes, 0),
  });
};
// Two frames: the first one after the load has been drawn by then.
requestAnimationFrame(() => requestAnimationFrame(answer));
