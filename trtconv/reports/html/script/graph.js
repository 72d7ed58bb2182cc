// The graph: blocks, before beside after.

function nodeButton(node) {
  const isAfter = node.side === "after";
  const [dtype, shape] = typeOf(node.outputs[0]?.type ?? "");
  const badges = node.outcome === "same" ? [] : [node.outcome];
  if (node.outcome !== "fp32" && isKeptFp32(node)) badges.push("fp32");
  const button = element("button", {
    type: "button", class: "node", "data-outcome": node.outcome, title: node.address,
    onclick: () => showNode(node),
  },
  element("span", { class: "op" }, node.op.replace(/^trtconv::/, "")),
  addressEnd(node.address),
  element("span", { class: "badges" },
    ...badges.map((name) => element("span", { class: "badge", "data-outcome": name }, badgeText(node, name)))),
  element("span", { class: "type" }, element("span", { class: "dtype" }, dtype), shape),
  isAfter && node.outcome === "plugin" && node.attributes ? element("span", { class: "attributes" }, node.attributes) : null);
  if (isSearching() && !isWanted(node)) button.classList.add("dim");
  if (node === chosen) button.classList.add("chosen");
  node.button = button;
  return button;
}

// Where there is no room for all of an address, its end tells more: the style sheet cuts the other one.
const addressEnd = (address) => element("span", { class: "address end" }, element("bdi", { dir: "ltr" }, address));

const isKeptFp32 = (node) => node.side === "after" && node.decisions.some((made) => made.outcome === "fp32");

function typeOf(type) {  // a type, a shape, or both
  const at = type.indexOf(" ");
  if (at >= 0) return [type.slice(0, at + 1), type.slice(at + 1)];
  return /^[a-z]/.test(type) && !type.includes("\u00d7") ? [type, ""] : ["", type];
}

const badgeText = (node, name) => ({
  plugin: node.side === "after" ? "plugin" : "becomes a plugin", fused: "fused", rewritten: "rewritten", computed: "computed",
  native: "native", fp32: "stays fp32", replaced: "replaced", new: "new",
})[name];

// Return [node before, node after, how many rows the latter spans] for each row.
function rowsOf(block) {
  const rows = [];
  let next = 0;
  const place = new Map(block.before.map((node, index) => [node.index, index]));
  const isChanged = (node) => !["same", "native", "rewritten"].includes(node.outcome);
  for (const node of block.after) {
    const at = node.match === null ? undefined : place.get(node.match);
    if (at === undefined || at < next) {
      rows.push({ after: node, span: 1 });
      continue;
    }
    let first = at;
    while (first > next && isChanged(block.before[first - 1]) && node.outcome === "plugin") first--;
    while (next < first) rows.push({ before: block.before[next++] });
    rows.push({ before: block.before[next++], after: node, span: at - first + 1 });
    while (next <= at) rows.push({ before: block.before[next++] });
  }
  while (next < block.before.length) rows.push({ before: block.before[next++] });
  return rows;
}

function pairOf(block) {
  const pair = element("div", { class: "pair" });
  rowsOf(block).forEach((row, index) => {
    for (const [node, column, span] of [[row.before, 1, 1], [row.after, 2, row.span]]) {
      if (!node) continue;
      const cell = nodeButton(node);
      cell.style.gridColumn = String(column);
      cell.style.gridRow = `${index + 1} / span ${span}`;
      pair.append(cell);
    }
  });
  return pair;
}

// A bar of all nodes in their order; where they are too many, each column holds the shares of several.
function strip(nodes, attributes = {}) {
  const columns = Math.max(Math.min(nodes.length, STRIP_COLUMNS), 1), paths = {};
  for (let column = 0; column < columns; column++) {
    const part = nodes.slice(Math.floor(column * nodes.length / columns), Math.floor((column + 1) * nodes.length / columns));
    let top = 0;
    for (const { name } of OUTCOMES) {
      const share = part.filter((node) => node.outcome === name).length / part.length;
      if (share > 0) (paths[name] ??= []).push(`M${column} ${top.toFixed(3)}h1v${share.toFixed(3)}h-1z`);
      top += share || 0;
    }
  }
  return drawing("svg", { viewBox: `0 0 ${columns} 1`, preserveAspectRatio: "none", "shape-rendering": "crispEdges", ...attributes },
    ...Object.entries(paths).map(([outcome, parts]) => drawing("path", { "data-outcome": outcome, d: parts.join("") })));
}

function blockElement(block) {
  const first = block.before[0] ?? block.after[0];
  const counts = !after ? count(block.before.length, "node")
    : block.before.every((node) => node.outcome === "same") && block.before.length === block.after.length
      ? count(block.before.length, "node") : `${block.before.length} → ${count(block.after.length, "node")}`;
  const made = element("details", { class: "block" },
    element("summary", {}, element("b", {}, first?.op ?? ""), addressEnd(block.name),
      strip(block.before, { class: "strip", "aria-hidden": "true" }), element("span", { class: "count" }, counts)));
  const open = () => made.childElementCount > 1 || made.append(pairOf(block));
  made.addEventListener("toggle", () => made.open && open());
  made.open = isOpen(block);
  if (made.open) open();
  block.element = made;
  return made;
}

const isOpen = (block) => block.mustOpen || (isSearching() ? block.rank < 20 : before.nodes.length <= OPEN_UP_TO);

let growBlocks = () => {}, shownBlocks = [];

function updateBlocks() {
  for (const block of blocks) block.element = null;
  for (const graph of graphs) for (const node of graph.nodes) node.button = null;
  shownBlocks = blocks.filter((block) => block.before.length + block.after.length > 0
    && (!isSearching() || block.before.some(isWanted) || block.after.some(isWanted)));
  shownBlocks.forEach((block, rank) => { block.rank = rank; });
  const holder = document.getElementById("blocks");
  const heads = element("div", { class: "pair heads" },
    ...graphs.map((graph) => element("div", {}, `${graph.side === "before" ? "The model" : "What TensorRT gets"}: `
      + count(graph.nodes.length + graph.leftOut, "node") + (graph.constants ? `, ${count(graph.constants, "constant")}` : "")
      + (graph.leftOut ? `; the first ${graph.nodes.length.toLocaleString("en")} are shown` : ""))));
  const list = element("div");
  holder.replaceChildren(heads, list);
  growBlocks = fill(list, shownBlocks, blockElement, BLOCKS_AT_ONCE);
}

function addOverview() {
  const lanes = element("div", { class: "lanes" });
  for (const graph of graphs) {
    const lane = strip(graph.nodes, { role: "img", "aria-label": `Every node ${graph.side} the rewrite, in its colour` });
    lane.addEventListener("click", (event) => {
      const box = lane.getBoundingClientRect();
      const index = Math.floor((event.clientX - box.left) / box.width * graph.nodes.length);
      if (graph.nodes[index]) showNode(graph.nodes[index], true);
    });
    lanes.append(element("span", { class: "muted" }, graph.side), lane);
  }
  document.getElementById("overview").append(lanes);
}
