// Lists that grow: a page of ten thousand nodes must open at once.

function fill(holder, items, make, atOnce, after = holder) {
  let shown = 0;
  const more = element("button", { type: "button", class: "more", onclick: () => grow() });
  function grow(upTo = shown + atOnce) {
    const part = document.createDocumentFragment();
    for (; shown < Math.min(upTo, items.length); shown++) part.append(make(items[shown]));
    if (after === holder) more.before(part);
    else holder.append(part);
    more.hidden = shown >= items.length;
    more.textContent = `Show more: ${(items.length - shown).toLocaleString("en")} left`;
  }
  if (after === holder) holder.replaceChildren(more);
  else after.after(more);
  grow();
  return grow;
}
