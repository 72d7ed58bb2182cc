// Search and filter.

const query = document.getElementById("query"), chips = document.getElementById("chips");
const wanted = new Set();  // outcomes; none means all

const haystackOf = (each) => each.haystack ??= [
  each.address ?? each.node, each.op, each.became ?? "", each.reason ?? "",
  ...(each.side ? each.decisions.flatMap((made) => [made.reason, made.became]) : []),
].join("\n").toLowerCase();

function isWanted(each) {
  const outcomes = each.side && isKeptFp32(each) ? [each.outcome, "fp32"] : [each.outcome];
  return (!wanted.size || outcomes.some((outcome) => wanted.has(outcome))) && haystackOf(each).includes(words());
}

const words = () => query.value.trim().toLowerCase();
const isSearching = () => words() !== "" || wanted.size > 0;

function addChips() {
  const used = new Set(graphs.flatMap((graph) => graph.nodes.map((node) => node.outcome)));
  for (const made of decisions) used.add(made.outcome);
  for (const { name, told } of OUTCOMES) {
    if (!used.has(name)) continue;
    const chip = element("button", { type: "button", class: "chip", "data-outcome": name, title: told, "aria-pressed": "false",
      onclick: () => {
        if (!wanted.delete(name)) wanted.add(name);
        chip.setAttribute("aria-pressed", String(wanted.has(name)));
        update();
      } }, name);
    chips.append(chip);
    document.getElementById("legend")?.append(element("li", { "data-outcome": name }, element("b", {}, name), ` ${told}`));
  }
}
