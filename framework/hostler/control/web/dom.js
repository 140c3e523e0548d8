// Makes elements. What comes from servers only ever becomes text.

// h("p", {class: "lead", onclick: f}, "text", child): null and false children are left out.
export function h(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  set(element, attributes);
  element.append(...children.flat().filter((child) => child !== null && child !== false && child !== undefined));
  return element;
}

// The same for SVG.
export function s(name, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  set(element, attributes);
  element.append(...children);
  return element;
}

function set(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
}

// Sets a text only where it is another one: who selects or reads it is not disturbed.
export function text(element, value) {
  if (element.textContent !== value) element.textContent = value;
}

export function attribute(element, name, value) {
  if (value === null || value === false) element.removeAttribute(name);
  else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
}

// A button whose look stays the same whether it may be used: what forbids it is told to everybody.
export function button(label, onclick, attributes = {}) {
  const element = h("button", {type: "button", ...attributes}, label);
  element.addEventListener("click", (event) => {
    if (element.getAttribute("aria-disabled") !== "true") onclick(event);
  });
  return element;
}
