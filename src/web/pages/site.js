// What pages do more comfortably with a script. None needs it: every link and form works alone.
"use strict";

const base = document.body.dataset.base ?? "";

// Copy: a button names the element whose text it copies.
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  const source = button && document.getElementById(button.dataset.copy);
  if (!source) return;
  const before = button.textContent;
  try {
    await navigator.clipboard.writeText(source.textContent.trim());
    button.textContent = "Copied";
  } catch {
    // Without the right to write to the clipboard the text is at least selected.
    getSelection().selectAllChildren(source);
    button.textContent = "Selected";
  }
  setTimeout(() => { button.textContent = before; }, 2000);
});

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
