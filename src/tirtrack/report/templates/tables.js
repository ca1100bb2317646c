"use strict";
// Tables of class "sortable" get a button in each heading; long ones a field that filters their rows.
const FILTER_FROM = 8;
const keyOf = cell => {
  if (!cell) return null;
  if ("value" in cell.dataset) return cell.dataset.value === "" ? null : Number(cell.dataset.value);
  return cell.textContent.trim() || null;
};
const compare = (a, b) => typeof a === "number" && typeof b === "number"
  ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0], heads = [...table.tHead.querySelectorAll("th[data-column]")];
  for (const head of heads) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const column = Number(head.dataset.column), now = head.getAttribute("aria-sort");
      const first = head.classList.contains("text") ? "ascending" : "descending";
      const second = first === "ascending" ? "descending" : "ascending";
      const next = now === first ? second : first, sign = next === "ascending" ? 1 : -1;
      const rows = [...body.rows].map(row => [keyOf(row.cells[column]), row]);
      rows.sort(([a], [b]) => a === null || b === null
        ? (a === null) - (b === null) : sign * compare(a, b));
      body.append(...rows.map(([, row]) => row));
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", next);
    });
  }
  if (body.rows.length < FILTER_FROM) continue;
  const label = document.createElement("label"), field = document.createElement("input");
  const count = document.createElement("output");
  label.className = "filter";
  field.type = "search";
  label.append("Filter rows ", field, " ", count);
  field.addEventListener("input", () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of body.rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every(word => text.includes(word));
      shown += !row.hidden;
    }
    count.value = words.length ? `${shown} of ${body.rows.length}` : "";
  });
  table.closest(".scroll").before(label);
}
