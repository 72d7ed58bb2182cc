// One node and what is around it.

const detail = document.getElementById("detail");
let chosen = null, returnTo = null;

function showNode(node, isJump = false) {
  chosen?.button?.classList.remove("chosen");
  if (detail.hidden) returnTo = document.activeElement;
  chosen = node;
  if (isJump) bringIntoView(node);
  node.button?.classList.add("chosen");
  detail.replaceChildren(...[
    element("button", { type: "button", class: "close", "aria-label": "Close", onclick: closeDetail }, "×"),
    element("h2", {}, node.op), element("p", { class: "address" }, node.address),
    element("p", { class: "badge", "data-outcome": node.outcome }, told(node)),
    ...node.decisions.map((made) => element("p", { class: "reason", "data-outcome": made.outcome },
      made.outcome === "fp32" ? "stays in fp32: " : made.became ? `${made.op} → ${made.became}: ` : `${made.op}: `,
      made.reason, ...figuresOf(made))),
    around(node),
    node.attributes ? element("p", {}, element("span", { class: "muted" }, "Attributes: "), node.attributes) : null,
    ...tensorList("Reads", node.inputs, (tensor) => (tensor.producer ? [tensor.producer] : [])),
    ...tensorList("Writes", node.outputs, (tensor) => tensor.consumers),
    node.more ? element("p", { class: "muted" }, `and ${count(node.more, "tensor")} more`) : null,
    ...counterpart(node)].filter(Boolean));
  detail.hidden = false;
  document.body.classList.add("has-detail");
  detail.scrollTop = 0;
  detail.focus({ preventScroll: true });
}

const told = (node) => OUTCOMES.find((each) => each.name === node.outcome).told;

function closeDetail() {
  detail.hidden = true;
  document.body.classList.remove("has-detail");
  chosen?.button?.classList.remove("chosen");
  const last = chosen?.button ?? returnTo;
  chosen = null;
  last?.focus?.();
}

function bringIntoView(node) {
  const block = blocks[node.block];
  if (!shownBlocks.includes(block)) {
    query.value = "";
    wanted.clear();
    for (const chip of chips.children) chip.setAttribute("aria-pressed", "false");
    update();
  }
  growBlocks(block.rank + BLOCKS_AT_ONCE);
  block.element.open = true;
  if (block.element.childElementCount === 1) block.element.append(pairOf(block));
  node.button.scrollIntoView({ block: "center" });
}

function tensorList(title, tensors, others) {
  if (!tensors.length) return [];
  return [element("h3", {}, title), element("ul", {}, ...tensors.map((tensor) => element("li", {},
    element("span", { class: "address" }, tensor.name), " ", element("span", { class: "muted" },
      [tensor.type, tensor.role].filter(Boolean).join(", ")),
    ...others(tensor).slice(0, 12).flatMap((node) => [" ", nodeLink(node)]))))];
}

const nodeLink = (node) => element("button", { type: "button", onclick: () => showNode(node, true) },
  `${node.op} ${node.address}`);

function counterpart(node) {
  const found = node.side === "after" ? before.nodes[node.match ?? -1] : after?.nodes.find((each) => each.match === node.index);
  return found ? [element("h3", {}, node.side === "after" ? "In the model" : "What TensorRT gets"),
    element("p", {}, nodeLink(found))] : [];
}

const unique = (nodes) => [...new Set(nodes)];
const readBy = (node) => unique(node.inputs.map((tensor) => tensor.producer).filter(Boolean));
const readers = (node) => unique(node.outputs.flatMap((tensor) => tensor.consumers));

// Draw the nodes that this one reads from and those that read it, a column a step.
function around(node) {
  const columns = [readBy(node), [node], readers(node)].map((nodes) => ({ nodes: nodes.slice(0, NEIGHBOURS), left: nodes.length - NEIGHBOURS }));
  const width = 132, gap = 42, step = 46, rows = Math.max(...columns.map((column) => column.nodes.length + (column.left > 0 ? 1 : 0)));
  const height = rows * step;
  const picture = drawing("svg", { class: "around", viewBox: `0 0 ${3 * width + 2 * gap} ${height}`, role: "group",
    "aria-label": "The nodes before and after this one" });
  const top = (column, index) => (height - column.nodes.length * step) / 2 + index * step + 4;
  const middle = top(columns[1], 0) + 18;
  columns.forEach((column, at) => column.nodes.forEach((each, index) => {
    const x = at * (width + gap), y = top(column, index);
    if (at !== 1) {
      const [from, to] = at === 0 ? [x + width, width + gap] : [2 * width + gap, x];
      const [start, end] = at === 0 ? [y + 18, middle] : [middle, y + 18];
      picture.prepend(drawing("path", { class: "edge",
        d: `M${from} ${start}C${from + gap / 2} ${start} ${to - gap / 2} ${end} ${to} ${end}` }));
    }
    picture.append(boxOf(each, x, y, width, at === 1));
  }));
  columns.forEach((column, at) => {
    if (column.left > 0) {
      const label = drawing("text", { class: "small", x: at * (width + gap) + 6, y: top(column, column.nodes.length) + 10 });
      label.textContent = `and ${column.left} more`;
      picture.append(label);
    }
  });
  return picture;
}

function boxOf(node, x, y, width, isCentre) {
  const cut = (words, length) => (words.length > length ? `…${words.slice(1 - length)}` : words);
  const lines = [drawing("text", { x: x + 7, y: y + 15 }), drawing("text", { class: "small", x: x + 7, y: y + 29 })];
  lines[0].textContent = cut(node.op.replace(/^trtconv::/, ""), 16);
  lines[1].textContent = cut(node.address, 19);
  const box = drawing("g", { class: isCentre ? "centre" : "", "data-outcome": node.outcome },
    drawing("rect", { x: x + 1, y, width: width - 2, height: 36, rx: 5 }), ...lines);
  if (!isCentre) {
    box.setAttribute("role", "button");
    box.setAttribute("tabindex", "0");
    box.setAttribute("aria-label", `${node.op} ${node.address}`);
    box.addEventListener("click", () => showNode(node, true));
    box.addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === " ") showNode(node, true); });
  }
  return box;
}
