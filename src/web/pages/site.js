// What pages do more comfortably with a script. None needs it: every link and form works alone.
"use strict";

const base = document.body.dataset.base ?? "";

// Copy: a button names the element whose text it copies. Those who do not see it change are told.
const copied = document.createElement("p");
if (document.querySelector("[data-copy]")) {
  copied.className = "sr";
  copied.role = "status";
  document.getElementById("main").append(copied);
}
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  const source = button && document.getElementById(button.dataset.copy);
  if (!source) return;
  // A second press while it still says so must not take that for its name.
  const before = button.dataset.name ??= button.textContent;
  try {
    await navigator.clipboard.writeText(source.textContent.trim());
    button.textContent = "Copied";
  } catch {
    // Without the right to write to the clipboard the text is at least selected.
    getSelection().selectAllChildren(source);
    button.textContent = "Selected";
  }
  copied.textContent = button.textContent;
  setTimeout(() => {
    button.textContent = before;
    copied.textContent = "";
  }, 2000);
});

// A form that gives something away answers nobody who did not see it: its buttons take effect only when the page has been in
// sight for a moment, so that the second click of a double click somewhere else does not land on them.
const UNHURRIED_MS = 700;
for (const form of document.querySelectorAll("form[data-unhurried]")) {
  const buttons = form.querySelectorAll("button");
  let from = Infinity;
  let timer;
  const wait = () => {
    clearTimeout(timer);
    from = document.hidden ? Infinity : performance.now() + UNHURRIED_MS;
    for (const button of buttons) button.setAttribute("aria-disabled", "true");
    if (document.hidden) return;
    timer = setTimeout(() => {
      for (const button of buttons) button.removeAttribute("aria-disabled");
    }, UNHURRIED_MS);
  };
  wait();
  document.addEventListener("visibilitychange", wait);
  addEventListener("pageshow", wait);
  // A window in front of this one, and then gone, leaves no other trace.
  addEventListener("focus", wait);
  const refuse = (event) => {
    if (performance.now() >= from) return;
    event.preventDefault();
    event.stopImmediatePropagation();
  };
  form.addEventListener("click", refuse, true);
  form.addEventListener("submit", refuse, true);
}

// A form is sent once: a second press while the first is on its way would only be refused.
document.addEventListener("submit", (event) => {
  if (event.target.dataset.sent) event.preventDefault();
  event.target.dataset.sent = "yes";
});
addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
});

// Numbers in the navigation, while somebody looks.
const counts = document.querySelectorAll("[data-count]");
async function refreshCounts() {
  if (document.hidden) return;
  const answer = await fetch(`${base}/counts`, { redirect: "manual" }).catch(() => null);
  if (!answer?.ok) return;
  const now = await answer.json();
  for (const place of counts) {
    const number = now[place.dataset.count];
    if (number === undefined) continue;
    place.querySelector("b").textContent = number;
    place.hidden = number === 0;
  }
}
if (counts.length > 0) {
  setInterval(refreshCounts, 60_000);
  document.addEventListener("visibilitychange", refreshCounts);
}

// Keys of a page: a link or button with data-key does what its key says, j and k go along a list. They are off while
// somebody types, and for good where the box beside their list says so (WCAG 2.1.4).
const keys = document.getElementById("keys");
if (keys) {
  const wanted = document.getElementById("keys-on");
  // A browser may keep nothing for us.
  try { wanted.checked = localStorage.getItem("keys") !== "off"; } catch { wanted.checked = true; }
  wanted.addEventListener("change", () => {
    try { localStorage.setItem("keys", wanted.checked ? "on" : "off"); } catch { /* It holds for this page. */ }
  });
  const steps = [...document.querySelectorAll("[data-step]")];
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input:not([type=checkbox]), textarea, select");
    if (!wanted.checked || typing || event.ctrlKey || event.altKey || event.metaKey || event.isComposing) return;
    const target = document.querySelector(`[data-key="${CSS.escape(event.key)}"]`);
    const step = { j: 1, k: -1 }[event.key];
    if (event.key === "?") {
      keys.open = true;
      keys.querySelector("summary").focus();
    } else if (target) {
      target.click();
    } else if (step && steps.length > 0) {
      const at = steps.indexOf(document.activeElement) + step;
      steps[Math.min(Math.max(at, 0), steps.length - 1)].focus();
    } else {
      return;
    }
    event.preventDefault();
  });
}

// What a reviewer typed outlives a log-in that ended meanwhile: in this tab, until something is decided.
for (const done of document.querySelectorAll("[data-draft-done]")) {
  sessionStorage.removeItem(`draft ${done.dataset.draftDone}`);
}
const drafted = document.querySelector("form[data-draft]");
if (drafted) {
  const name = `draft ${drafted.dataset.draft}`;
  const fields = ["reason_code", "reason"].map((field) => drafted.elements[field]);
  const kept = JSON.parse(sessionStorage.getItem(name) ?? "null");
  if (kept && fields[1].value === "") fields.forEach((field, index) => { field.value = kept[index]; });
  drafted.addEventListener("submit", () => {
    sessionStorage.setItem(name, JSON.stringify(fields.map((field) => field.value)));
  });
}
