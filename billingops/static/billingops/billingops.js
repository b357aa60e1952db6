/* What the pages do without a reload, and nothing they could not do without this file: copy buttons, and filters that
   fold away on a phone. */
"use strict";

(function () {
  function say(text) {
    let box = document.getElementById("bo-live");
    if (!box) {
      box = document.createElement("div");
      box.id = "bo-live";
      box.className = "visually-hidden";
      box.setAttribute("role", "status");
      document.body.append(box);
    }
    box.textContent = text;
  }

  function showCopyButtons(root) {
    for (const button of root.querySelectorAll("button.bo-copy[hidden]")) {
      button.hidden = false;
    }
  }

  async function copy(text) {
    if (navigator.clipboard) {
      return navigator.clipboard.writeText(text);
    }
    const field = document.createElement("textarea"); // a page served without TLS has no clipboard API
    field.value = text;
    document.body.append(field);
    field.select();
    document.execCommand("copy");
    field.remove();
  }

  function mark(button, name) {
    button.classList.add(name);
    setTimeout(() => button.classList.remove(name), 1500);
  }

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("button.bo-copy");
    if (!button) {
      return;
    }
    event.preventDefault();
    try {
      await copy(button.dataset.copy);
      mark(button, "bo-copied");
      say("Copied " + button.dataset.copy);
    } catch (problem) {
      mark(button, "bo-not-copied");
      say("Could not copy. The id is " + button.dataset.copy);
    }
  });

  // Open as served; a narrow screen shows the rows first. A wide one has no summary to open it with.
  const narrow = window.matchMedia("(max-width: 767px)");
  function fold() {
    for (const one of document.querySelectorAll("details.bo-fold")) {
      one.open = !narrow.matches;
    }
  }
  narrow.addEventListener("change", fold);
  fold();

  window.BillingOps = { say, showCopyButtons };
  showCopyButtons(document);
})();
