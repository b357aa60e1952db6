/* "Load more" without leaving the page. Without this file the same link shows the older lines on a page of their own. */
"use strict";

(function () {
  const list = document.getElementById("tl-entries");

  function append(section) {
    const last = list.lastElementChild;
    if (last && last.dataset.day === section.dataset.day) {
      last.querySelector("ol").append(...section.querySelectorAll("ol > li"));
    } else {
      list.append(section);
    }
  }

  async function loadMore(link) {
    link.setAttribute("aria-busy", "true");
    const answer = await fetch(link.href, { credentials: "same-origin" });
    if (!answer.ok) {
      throw new Error(String(answer.status));
    }
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const rows = list.querySelectorAll(".tl-row").length;
    page.querySelectorAll("#tl-entries > section").forEach((section) => append(document.adoptNode(section)));
    const next = page.getElementById("tl-more");
    if (next) {
      link.href = next.href;
      link.removeAttribute("aria-busy");
    } else {
      link.remove();
    }
    const all = list.querySelectorAll(".tl-row");
    if (window.BillingOps) {
      window.BillingOps.showCopyButtons(list);
      window.BillingOps.say(all.length - rows + " older lines loaded");
    }
    if (all[rows]) {
      all[rows].querySelector("summary").focus({ preventScroll: true });
    }
  }

  document.addEventListener("click", (event) => {
    const link = event.target.closest("#tl-more");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) {
      return;
    }
    event.preventDefault();
    loadMore(link).catch(() => window.location.assign(link.href));
  });
})();
