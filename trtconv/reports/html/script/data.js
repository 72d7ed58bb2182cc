"use strict";
// The data of the page as objects, and how elements are made.
// Every text of the model goes into the page as textContent, never as HTML.
const data = JSON.parse(document.getElementById("data").textContent);
const text = (number) => data.texts[number];
const OUTCOMES = data.outcomes.map(([name, told]) => ({ name, told }));
const BLOCKS_AT_ONCE = 100, ROWS_AT_ONCE = 200, OPEN_UP_TO = 400;  // blocks of models of this many nodes begin open
const NEIGHBOURS = 6, STRIP_COLUMNS = 400;
const SVG = "http://www.w3.org/2000/svg";

const decisions = data.decisions.map(([node, op, became, reason, outcome, figures]) => ({
  node: text(node), op: text(op), became: text(became), reason: text(reason), outcome: OUTCOMES[outcome].name,
  figures: figures.map(([key, value]) => [text(key), text(value)]),
}));

function readGraph(side) {
  const given = data[side];
  if (!given) return null;
  const tensors = given.tensors.map(([name, type, role]) => (
    { name: text(name), type: text(type), role: text(role), producer: null, consumers: [] }));
  const nodes = given.nodes.map(([address, op, outcome, block, match, attributes, inputs, outputs, made, more], index) => ({
    side, index, block, match, more, address: text(address), op: text(op), outcome: OUTCOMES[outcome].name,
    attributes: text(attributes), inputs: inputs.map((each) => tensors[each]),
    outputs: outputs.map((each) => tensors[each]), decisions: made.map((each) => decisions[each]), cells: null,
  }));
  for (const node of nodes) {
    for (const tensor of node.outputs) tensor.producer = node;
    for (const tensor of new Set(node.inputs)) tensor.consumers.push(node);
  }
  return { side, nodes, leftOut: given.leftOut, constants: given.constants };
}

const before = readGraph("before"), after = readGraph("after");
const graphs = [before, after].filter(Boolean);
const blocks = data.blocks.map((name, index) => ({ index, name: text(name), before: [], after: [] }));
for (const graph of graphs) for (const node of graph.nodes) blocks[node.block][graph.side].push(node);

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== ""));
  return made;
}

function drawing(tag, attributes = {}, ...children) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

const count = (number, what) => `${number.toLocaleString("en")} ${what}${number === 1 ? "" : "s"}`;
