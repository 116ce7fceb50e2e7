"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const stage = document.getElementById("stage"), picture = document.getElementById("picture");
const far = document.querySelector("#far input"), large = document.querySelector("#large input"), way = document.querySelector("#way input");
const distant = data.views.filter((view) => view.kind === "distance");
const FAR = 5; // times as far as at first
const SIGMA = Math.max(0, ...distant.map((view) => view.sigma)); // of the blur from there, a share of the side
const state = { angle: 0, flipped: false, negative: false, distance: 0, shown: null, share: 0 };

const modulo = (a, n) => ((a % n) + n) % n;
const times = () => FAR ** state.distance;
// What the eye blurs is a constant angle, so in the picture's own lengths it grows with the distance.
const sigma = () => (SIGMA * (times() - 1)) / (FAR - 1);

function render() {
  const side = Math.min(stage.clientWidth, stage.clientHeight);
  const scale = large.checked ? 1 : 1 / times();
  picture.style.transform = `rotate(${state.angle}deg) rotateX(${state.flipped ? 180 : 0}deg) scale(${scale})`;
  const blur = sigma() > 0 ? ` blur(${sigma() * side}px)` : "";
  picture.style.filter = `invert(${state.negative ? 1 : 0})${blur}`;
  const frames = state.shown ? state.shown.frames : [];
  const frame = Math.round(state.share * frames.length);
  const source = frame === 0 ? data.picture : frames[frame - 1];
  if (picture.src !== source) picture.src = source;
  far.value = state.distance;
  way.value = state.share;
  document.getElementById("way").hidden = !state.shown;
  document.querySelectorAll("#views button").forEach((button, i) => button.setAttribute("aria-current", seen() === i));
}

function seen() { // the number of the view that is seen now, -1 for none
  const quarters = modulo(Math.round(state.angle / 90), 4);
  const straight = state.angle % 90 === 0, plain = !state.flipped && !state.negative && quarters === 0;
  if (state.shown && state.share > 0) return state.share === 1 && plain ? data.views.indexOf(state.shown) : -1;
  if (state.distance > 0 && straight && plain) return data.views.findIndex((v) => v.kind === "distance" && Math.abs(Math.log(sigma() / v.sigma)) < 0.2);
  if (state.distance > 0 || !straight) return -1;
  return data.views.findIndex((v) => v.kind === "turn" && v.quarters === quarters && v.flipped === state.flipped && v.negative === state.negative);
}

let moving = 0;
function play(share) { // towards a share of the way to the view that is shown
  cancelAnimationFrame(moving);
  const from = state.share, began = performance.now(), length = 1200 * Math.abs(share - from);
  const step = (now) => {
    const t = length ? Math.min(1, (now - began) / length) : 1;
    state.share = t === 1 ? share : from + (share - from) * t * t * (3 - 2 * t);
    render();
    if (t < 1) moving = requestAnimationFrame(step);
  };
  step(began);
}

function straighten(quarters) { // the nearest angle of so many quarters clockwise
  const round = Math.round((state.angle - 90 * quarters) / 360);
  return 90 * quarters + 360 * round;
}

function show(view) {
  cancelAnimationFrame(moving);
  const turn = view.kind === "turn" ? view : { quarters: 0, flipped: false, negative: false };
  Object.assign(state, { angle: straighten(turn.quarters), flipped: turn.flipped, negative: turn.negative, distance: 0 });
  if (view.kind === "distance") state.distance = Math.log(1 + (view.sigma / SIGMA) * (FAR - 1)) / Math.log(FAR);
  if (view.kind === "frames") {
    if (state.shown !== view) Object.assign(state, { shown: view, share: 0 });
    play(1);
  } else Object.assign(state, { shown: null, share: 0 });
  render();
}

const acts = {
  left: () => { state.angle = 90 * (Math.round(state.angle / 90) - 1); },
  right: () => { state.angle = 90 * (Math.round(state.angle / 90) + 1); },
  // what is seen is flipped, whichever way the picture is turned: F R_a = R_-a F
  flip: () => { state.flipped = !state.flipped; state.angle = -state.angle; },
  mirror: () => { state.flipped = !state.flipped; state.angle = 180 - state.angle; },
  negative: () => { state.negative = !state.negative; },
};
function act(name) { acts[name](); render(); }

function reveal() {
  const told = document.body.classList.toggle("told");
  const button = document.getElementById("reveal");
  button.textContent = told ? "Hide" : "Reveal";
  button.setAttribute("aria-pressed", told);
  document.querySelectorAll("#views .says").forEach((text) => text.setAttribute("aria-hidden", !told));
}

const list = document.getElementById("views");
data.views.forEach((view) => {
  const item = document.createElement("li"), button = document.createElement("button");
  for (const [name, text] of [["how", view.how], ["says", view.says]]) {
    const part = document.createElement("span");
    part.className = name;
    part.textContent = text;
    button.append(part);
  }
  button.lastChild.setAttribute("aria-hidden", true);
  button.addEventListener("click", () => show(view));
  item.append(button);
  list.append(item);
});

const around = (event) => {
  const box = stage.getBoundingClientRect();
  return (Math.atan2(event.clientY - box.top - box.height / 2, event.clientX - box.left - box.width / 2) * 180) / Math.PI;
};
let grip = null;
stage.addEventListener("pointerdown", (event) => {
  if (grip) return; // a second finger
  stage.setPointerCapture(event.pointerId);
  stage.classList.add("held");
  grip = { id: event.pointerId, before: around(event) };
});
stage.addEventListener("pointermove", (event) => {
  if (!grip || event.pointerId !== grip.id) return;
  const now = around(event);
  state.angle += modulo(now - grip.before + 180, 360) - 180;
  grip.before = now;
  render();
});
for (const name of ["pointerup", "pointercancel"]) stage.addEventListener(name, (event) => {
  if (!grip || event.pointerId !== grip.id) return;
  grip = null;
  stage.classList.remove("held");
  state.angle = 90 * Math.round(state.angle / 90);
  render();
});

const KEYS = { ArrowLeft: "left", ArrowRight: "right", ArrowUp: "flip", ArrowDown: "flip", f: "flip", m: "mirror", n: "negative" };
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target instanceof HTMLInputElement) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (KEYS[key]) act(KEYS[key]);
  else if (key === "r") reveal();
  else if (data.views[Number(key) - 1]) show(data.views[Number(key) - 1]);
  else return;
  event.preventDefault();
});
document.querySelectorAll("[data-do]").forEach((button) => button.addEventListener("click", () => acts[button.dataset.do] && act(button.dataset.do)));
document.getElementById("reveal").addEventListener("click", reveal);
far.addEventListener("input", () => {
  Object.assign(state, { distance: Number(far.value), shown: null, share: 0 });
  stage.classList.add("held");
  render();
  requestAnimationFrame(() => stage.classList.remove("held"));
});
large.addEventListener("change", render);
way.addEventListener("input", () => { cancelAnimationFrame(moving); state.share = Number(way.value); render(); });
document.getElementById("far").hidden = document.getElementById("large").hidden = !distant.length;
addEventListener("resize", render);
picture.src = data.picture;
render();
