"use strict";
// What the pages share: elements of the document, and one picture over another, parted by a divider.
const byId = (id) => document.getElementById(id);

const element = (tag, properties = {}, ...children) => {
  const created = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in created) created[name] = value;
    else created.setAttribute(name, value);
  }
  created.append(...children);
  return created;
};

// The picture before is seen as far as the slider says; who listens hears what lies on either side.
const divide = (left, right) => {
  const share = Number(byId("slider").value);
  byId("before").style.clipPath = `inset(0 ${100 - share}% 0 0)`;
  byId("divider").style.left = `${share}%`;
  byId("slider").setAttribute("aria-valuetext", `${share} % ${left}, ${100 - share} % ${right}`);
};
