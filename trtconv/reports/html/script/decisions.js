// Decisions and layers.

const figuresOf = (made) => (made.figures.length
  ? [element("span", { class: "figures" }, ` (${made.figures.map(([key, value]) => `${key} ${value}`).join("; ")})`)] : []);

const nodesByAddress = new Map();
for (const graph of graphs) for (const node of graph.nodes) if (!nodesByAddress.has(node.address)) nodesByAddress.set(node.address, node);

function addressOf(address) {
  const node = nodesByAddress.get(address);
  return node ? element("button", { type: "button", class: "address", onclick: () => showNode(node, true) }, address)
    : element("span", { class: "address" }, address);
}

function decisionRow(made) {
  const isOwn = made.reason === made.shared;
  return element("li", {}, addressOf(made.node), isOwn ? "" : ` ${made.reason}`, ...figuresOf(made));
}

function groupElement({ reason, made }) {
  const first = made[0];
  const label = first.outcome === "fp32" ? "stays fp32" : first.outcome === "native" ? "native"
    : first.outcome === "computed" ? first.became : first.became.replace(/^trtconv::/, "");
  const list = element("ul", { class: "rows" });
  const group = element("details", { class: "group", "data-outcome": first.outcome },
    element("summary", {}, element("span", { class: "number" }, String(made.length)),
      element("span", {}, `${first.op} →`), element("span", { class: "what" }, first.outcome === "fused" ? `part of ${label}` : label),
      element("span", { class: "reason" }, reason)), list);
  group.addEventListener("toggle", () => {
    if (group.open && !list.childElementCount) fill(list, made, decisionRow, ROWS_AT_ONCE);
  });
  return group;
}

function updateGroups() {
  const groups = data.groups.map(([reason, numbers]) => {
    const made = numbers.map((number) => decisions[number]);
    for (const each of made) each.shared = text(reason);
    return { reason: text(reason), made: made.filter(isWanted) };
  }).filter((group) => group.made.length);
  fill(document.getElementById("groups"), groups, groupElement, ROWS_AT_ONCE);
}

function layerRow([name, type, writes, formats, tactic, nodes]) {
  return element("tr", {}, ...[name, type, writes, formats, tactic].map((each, at) => (
    element("td", { class: at % 4 ? "" : "name" }, text(each)))),
  element("td", { class: "name" }, ...nodes.slice(0, 8).flatMap((each) => [addressOf(text(each)), " "])));
}

function updateLayers() {
  const rows = data.layers.filter((row) => [...row.slice(0, 5), ...row[5]].map(text).join("\n").toLowerCase().includes(words()));
  const body = element("tbody");
  const heads = ["layer", "type", "writes", "formats", "tactic", "from the nodes"];
  document.getElementById("layer-list").replaceChildren(
    element("p", { class: "muted" }, count(rows.length, "layer")),
    element("div", { class: "scroll" }, element("table", {},
      element("thead", {}, element("tr", {}, ...heads.map((head) => element("th", { scope: "col" }, head)))), body)));
  fill(body, rows, layerRow, ROWS_AT_ONCE, body.parentElement);
}
