// Filters the ledger: a row stays when it has every word and each choice that is made.
const form = document.querySelector(".ledger-filter");

function filterLedger() {
  const words = form.words.value.toLowerCase().split(/\s+/);
  const rows = Array.from(document.querySelectorAll(".ledger tbody tr"));
  let left = 0;
  for (const row of rows) {
    const text = row.textContent.toLowerCase();
    const chosen = ["paper", "grade", "verdict"].every(
      (name) => !form[name].value || row.dataset[name] === form[name].value,
    );
    row.hidden = !(chosen && words.every((word) => text.includes(word)));
    left += row.hidden ? 0 : 1;
  }
  form.querySelector("output").textContent = `${left} of ${rows.length} claims`;
}

if (form) {
  form.addEventListener("input", filterLedger);
  form.addEventListener("submit", (event) => event.preventDefault());
  filterLedger();
}
