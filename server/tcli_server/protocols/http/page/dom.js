// Elements. What a server tells is only ever text here: names of models and labels may be anything.

export const $ = (id) => document.getElementById(id);

export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  Object.assign(made, properties);
  made.append(...children);
  return made;
}

export function show(target, text) {
  target.textContent = text;
  target.hidden = !text;
}
