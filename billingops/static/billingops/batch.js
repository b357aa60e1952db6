/* A running batch: asks every two seconds how far it is, and loads the page anew once it is over. Without this file the
   page has a link that does the same. */
"use strict";

(function () {
  const box = document.querySelector("[data-batch-progress]");
  if (!box) {
    return;
  }
  const bar = box.querySelector("progress");
  const worked = box.querySelector("[data-worked]");
  async function ask() {
    try {
      const answer = await fetch(box.dataset.batchProgress, { headers: { Accept: "application/json" } });
      if (!answer.ok) {
        return;
      }
      const found = await answer.json();
      if (found.is_over) {
        window.location.reload();
        return;
      }
      const number = found.counts.done + found.counts.skipped + found.counts.cancelled;
      bar.value = number;
      worked.textContent = number;
    } catch {
      // no answer: the next one may come
    }
    window.setTimeout(ask, 2000);
  }
  window.setTimeout(ask, 2000);
})();
