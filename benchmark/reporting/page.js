"use strict";
(() => {
  // The contents are folded on small screens and always open beside the text on wide ones.
  const contents = document.querySelector("#contents details");
  const wide = window.matchMedia("(min-width: 64em)");
  const fold = () => { if (contents) contents.open = wide.matches; };
  wide.addEventListener("change", fold);
  fold();

  const status = document.getElementById("status");
  const collator = new Intl.Collator(document.documentElement.lang, { numeric: true });
  const NEXT = { none: "ascending", ascending: "descending", descending: "none" };

  // Missing cells come last in either direction; numbers were read when the page was made.
  const compare = (column, direction) => (one, other) => {
    const a = one.cells[column], b = other.cells[column];
    const missing = ("missing" in a.dataset) - ("missing" in b.dataset);
    if (missing) return missing;
    const numbers = "value" in a.dataset && "value" in b.dataset;
    const order = numbers
      ? Number(a.dataset.value) - Number(b.dataset.value)
      : collator.compare(a.textContent.trim(), b.textContent.trim());
    return direction === "ascending" ? order : -order;
  };

  for (const table of document.querySelectorAll("table.sortable")) {
    const body = table.tBodies[0];
    const original = [...body.rows];
    const headers = [...table.tHead.rows[0].cells].filter((cell) => cell.scope === "col");

    const sort = (header) => {
      const direction = NEXT[header.getAttribute("aria-sort")];
      for (const other of headers) other.setAttribute("aria-sort", "none");
      header.setAttribute("aria-sort", direction);
      const rows = direction === "none"
        ? original
        : [...original].sort(compare(header.cellIndex, direction));
      body.append(...rows);
      const name = header.textContent.trim();
      status.textContent = direction === "none"
        ? "Rows in their original order"
        : `Rows sorted by ${name}, ${direction}`;
    };

    for (const header of headers) {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...header.childNodes);
      button.addEventListener("click", () => sort(header));
      header.append(button);
      header.setAttribute("aria-sort", "none");
    }
  }
})();
