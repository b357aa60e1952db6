/* The queue by keyboard: j k o a r e t x / ?. No single key changes anything: a, r, e and t only go to a button, which
   Enter then presses. Evidence opens below its row; after a decision the next row has the focus. Without this file
   "Open" is a link to the suggestion's page, and everything else is a form. */
"use strict";

(function () {
  const queue = document.querySelector("[data-queue]");
  if (!queue) {
    return;
  }
  const rows = Array.from(queue.querySelectorAll("tr[data-row]"));
  const help = document.getElementById("bo-help");
  let current = -1;
  let open = null; // {row, panelRow}

  const keys = queue.querySelector("[data-keys]");
  if (keys) {
    keys.hidden = false;
    keys.querySelector("[data-help]").addEventListener("click", () => help.showModal());
  }

  // On a phone the tabs are one row that scrolls: the one that is open is to be seen.
  const tab = queue.querySelector(".bo-tab[aria-current]") || document.querySelector(".bo-tab[aria-current]");
  if (tab && tab.parentElement.scrollWidth > tab.parentElement.clientWidth) {
    tab.parentElement.scrollLeft = tab.offsetLeft - tab.parentElement.offsetLeft - 12;
  }

  // -- selection
  const boxes = Array.from(queue.querySelectorAll("input[name=_selected_action]"));
  const all = queue.querySelector("[data-select-all]");
  const counter = queue.querySelector("[data-selected-count]");
  function count() {
    const number = boxes.filter((box) => box.checked).length;
    if (counter) {
      counter.textContent = number ? number + " selected" : "";
    }
    if (all) {
      all.checked = number > 0 && number === boxes.length;
      all.indeterminate = number > 0 && number < boxes.length;
    }
  }
  if (all) {
    all.hidden = false;
    all.addEventListener("change", () => {
      boxes.forEach((box) => { box.checked = all.checked; });
      count();
    });
  }
  boxes.forEach((box) => box.addEventListener("change", count));
  count();

  // -- moving
  function go(index) {
    if (!rows.length) {
      return;
    }
    rows[current]?.classList.remove("bo-current");
    current = Math.max(0, Math.min(index, rows.length - 1));
    const row = rows[current];
    row.classList.add("bo-current");
    row.querySelector("[data-open]").focus({ preventScroll: true });
    row.scrollIntoView({ block: "nearest" });
  }

  // -- the evidence below a row
  function close() {
    if (open) {
      open.panelRow.remove();
      open.row.querySelector("[data-open]").setAttribute("aria-expanded", "false");
      open = null;
    }
  }

  async function show(row) {
    if (open && open.row === row) {
      return open.panelRow;
    }
    close();
    const panelRow = document.createElement("tr");
    panelRow.className = "bo-panel-row";
    const cell = document.createElement("td");
    cell.colSpan = row.cells.length;
    cell.textContent = "Reading the evidence…";
    panelRow.append(cell);
    row.after(panelRow);
    open = { row, panelRow };
    row.querySelector("[data-open]").setAttribute("aria-expanded", "true");
    try {
      const answer = await fetch(row.dataset.panel, { headers: { "X-Requested-With": "fetch" }, credentials: "same-origin" });
      if (!answer.ok || answer.redirected) {
        throw new Error(String(answer.status));
      }
      cell.innerHTML = await answer.text(); // our own template, escaped by the server
      window.BillingOps?.showCopyButtons(cell);
      comeBackBelow(cell, row);
    } catch (problem) {
      cell.textContent = "The evidence could not be read. Nothing was changed. ";
      const link = document.createElement("a");
      link.href = row.dataset.url;
      link.textContent = "Open the page instead";
      cell.append(link);
    }
    return panelRow;
  }

  // A decided row leaves the tab, so whoever decides comes back to the one after it (the one before, at the end).
  function comeBackBelow(cell, row) {
    const index = rows.indexOf(row);
    const next = rows[index + 1] || rows[index - 1] || row;
    for (const form of cell.querySelectorAll("form")) {
      const field = form.querySelector("input[name=next]");
      if (field) {
        field.value = field.value.split("#")[0] + "#" + (form.dataset.form ? next.id : row.id);
      }
    }
  }

  async function toggle(row) {
    if (open && open.row === row) {
      close();
      return;
    }
    const panelRow = await show(row);
    panelRow.querySelector(".bo-panel")?.focus({ preventScroll: true });
    panelRow.scrollIntoView({ block: "nearest" });
  }

  rows.forEach((row, index) => {
    const link = row.querySelector("[data-open]");
    link.setAttribute("aria-expanded", "false");
    link.addEventListener("click", (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey || event.button) {
        return;
      }
      event.preventDefault();
      go(index);
      toggle(row);
    });
  });

  async function verdict(which) {
    if (current < 0) {
      go(0);
    }
    const panelRow = await show(rows[current]);
    const form = panelRow.querySelector(`form[data-form=${which}]`);
    if (!form) {
      window.BillingOps?.say("You cannot do that with this suggestion.");
      return;
    }
    const folded = form.closest("details");
    if (folded) {
      folded.open = true;
    }
    (which === "reject" ? form.querySelector("select") : form.querySelector("button[type=submit]")).focus();
    form.scrollIntoView({ block: "center" });
  }

  // e and t: to the link or button; Enter presses it
  async function reach(selector, otherwise) {
    if (current < 0) {
      go(0);
    }
    const here = rows[current].querySelector(selector);
    const target = here || (await show(rows[current])).querySelector(selector);
    if (target) {
      target.focus();
      target.scrollIntoView({ block: "nearest" });
    } else {
      window.BillingOps?.say(otherwise);
    }
  }

  // Back from a form: to the row that the address names. Take and release come back to their own row.
  const desk = document.getElementById("bo-desk");
  if (desk) {
    desk.addEventListener("submit", (event) => {
      const row = event.submitter?.closest("tr[data-row]");
      const field = desk.querySelector("input[name=next]");
      if (row && field) {
        field.value = field.value.split("#")[0] + "#" + row.id;
      }
    });
  }
  const named = rows.findIndex((row) => "#" + row.id === location.hash);
  if (named >= 0) {
    // The browser's own jump to the row comes late and takes the focus away; ours comes after it.
    const settle = () => requestAnimationFrame(() => requestAnimationFrame(() => go(named)));
    if (document.readyState === "complete") {
      settle();
    } else {
      window.addEventListener("load", settle);
    }
  }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || help?.open) {
      return;
    }
    const target = event.target;
    if (event.key === "Escape" && open) {
      const row = open.row;
      close();
      row.querySelector("[data-open]").focus();
      return;
    }
    if (target.closest("input:not([type=checkbox]), textarea, select, [contenteditable]")) {
      return;
    }
    const steps = {
      j: () => go(current + 1),
      k: () => go(current - 1),
      o: () => { if (current < 0) { go(0); } toggle(rows[current]); },
      a: () => verdict("approve"),
      r: () => verdict("reject"),
      e: () => reach("[data-edit]", "This one cannot be edited."),
      t: () => reach("[data-take]", "This one cannot be taken."),
      x: () => {
        const box = rows[current]?.querySelector("input[type=checkbox]");
        if (box) {
          box.checked = !box.checked;
          count();
        }
      },
      "/": () => document.getElementById("bo-q").focus(),
      "?": () => help.showModal(),
    };
    const step = steps[event.key];
    if (step && (rows.length || event.key === "/" || event.key === "?")) {
      event.preventDefault();
      step();
    }
  });
})();
