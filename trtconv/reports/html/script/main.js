// All together.

function update() {
  if (before) updateBlocks();
  if (decisions.length) updateGroups();
  if (data.layers) updateLayers();
  const nodes = graphs.map((graph) => graph.nodes.filter(isWanted).length);
  document.getElementById("found").textContent = isSearching()
    ? [before ? `${count(nodes[0], "node")} before${after ? `, ${nodes[1].toLocaleString("en")} after` : ""}` : "",
      count(decisions.filter(isWanted).length, "decision")].filter(Boolean).join(", ") : "";
}

let waiting = 0;
query.addEventListener("input", () => {
  clearTimeout(waiting);
  waiting = setTimeout(update, 120);
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !detail.hidden) closeDetail();
  if (event.key === "/" && document.activeElement !== query && !event.ctrlKey && !event.metaKey) {
    event.preventDefault();
    query.focus();
  }
});
const toolbar = document.getElementById("toolbar");
toolbar.hidden = false;
new ResizeObserver(() => document.documentElement.style.setProperty("--toolbar", `${toolbar.offsetHeight + 8}px`)).observe(toolbar);
addChips();
if (before) addOverview();
const asked = new URLSearchParams(location.hash.slice(1));  // page.html#search=Pad&node=/up/Pad
query.value = asked.get("search") ?? "";
update();
if (nodesByAddress.has(asked.get("node"))) showNode(nodesByAddress.get(asked.get("node")), true);
