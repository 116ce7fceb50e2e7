"use strict";
(() => {
  const table = document.getElementById("table"), told = document.getElementById("told"), pen = table.getContext("2d");
  const { labels, pieces } = data.puzzle;
  const turning = pieces.some((piece) => piece.quarters);
  const NEAR = 0.4; // share of a piece's side within which it finds its place
  let wide = 0, high = 0, lying = []; // lying: from the lowest to the one on top

  const loaded = (source) => new Promise((done) => {
    const image = new Image();
    image.onload = () => done(image);
    image.src = source;
  });
  const pixels = (image) => {
    const page = Object.assign(document.createElement("canvas"), { width: image.width, height: image.height });
    const ink = page.getContext("2d", { willReadFrequently: true });
    ink.drawImage(image, 0, 0);
    return ink.getImageData(0, 0, image.width, image.height);
  };
  const places = (piece) => [
    { x: piece.x + piece.width / 2, y: piece.y + piece.height / 2, angle: 0 },
    { x: piece.seen_x, y: piece.seen_y, angle: piece.quarters },
  ];

  function cut(number, piece, whole, owners) { // the piece's own pixels, the others clear
    const page = Object.assign(document.createElement("canvas"), { width: piece.width, height: piece.height });
    const out = new ImageData(piece.width, piece.height);
    for (let y = 0; y < piece.height; y++) for (let x = 0; x < piece.width; x++) {
      const from = 4 * ((piece.y + y) * wide + piece.x + x), to = 4 * (y * piece.width + x);
      if (owners.data[from] === number) out.data.set(whole.data.subarray(from, from + 4), to);
    }
    page.getContext("2d").putImageData(out, 0, 0);
    const home = places(piece)[0], row = piece.y + Math.floor(piece.height / 2); // own: a pixel that is its own, in the middle row
    const inRow = [...Array(piece.width).keys()].filter((x) => owners.data[4 * (row * wide + piece.x + x)] === number);
    const own = [inRow[Math.floor(inRow.length / 2)], Math.floor(piece.height / 2)];
    return { number, piece, page, out, own, ...home, at: 0 }; // at: which place it lies in, null for none
  }

  function draw() {
    pen.clearRect(0, 0, table.width, table.height);
    pen.strokeStyle = "#8886";
    pen.strokeRect(0.5, 0.5, wide - 1, high - 1);
    for (const one of lying) {
      pen.setTransform(1, 0, 0, 1, one.x, one.y);
      pen.rotate((one.angle * Math.PI) / 2);
      pen.imageSmoothingEnabled = one.angle % 1 !== 0 || one.at === null;
      pen.drawImage(one.page, -one.piece.width / 2, -one.piece.height / 2);
    }
    pen.setTransform(1, 0, 0, 1, 0, 0);
  }

  function check() {
    const solved = [0, 1].find((place) => lying.every((one) => one.at === place || (one.piece.stays && one.at !== null)));
    table.dataset.solved = solved ?? "";
    const left = lying.filter((one) => one.at === null).length;
    told.textContent = solved !== undefined ? "" : left ? `${left} of ${lying.length} pieces to place${turning ? "; tap one to turn it" : ""}` : "These are pieces of two pictures: each has one more place.";
  }

  let moving = 0;
  function fly(targets) { // every piece to its target, in a curve
    cancelAnimationFrame(moving);
    const from = lying.map((one) => ({ x: one.x, y: one.y, angle: one.angle })), began = performance.now();
    const step = (now) => {
      const t = Math.min(1, (now - began) / 900), e = t * t * (3 - 2 * t), lift = Math.sin(Math.PI * t);
      lying.forEach((one, i) => {
        const to = targets.get(one.number), turn = ((to.angle - from[i].angle + 6) % 4) - 2;
        Object.assign(one, {
          x: from[i].x + (to.x - from[i].x) * e, y: from[i].y + (to.y - from[i].y) * e - lift * high * 0.05,
          angle: t === 1 ? to.angle : from[i].angle + turn * e, at: t === 1 ? to.at : null,
        });
      });
      draw();
      if (t < 1) moving = requestAnimationFrame(step);
      else check();
    };
    step(began);
  }
  const arrange = (place) => fly(new Map(lying.map((one) => [one.number, { ...places(one.piece)[place], at: place }])));
  function shuffle() {
    const targets = new Map();
    lying.sort(() => Math.random() - 0.5);
    for (const { number, piece } of lying) {
      const reach = Math.max(piece.width, piece.height) / 2;
      const between = (size) => reach + Math.random() * Math.max(0, size - 2 * reach);
      targets.set(number, { x: Math.round(between(table.width)), y: Math.round(between(table.height)), angle: turning ? Math.floor(Math.random() * 4) : 0, at: null });
    }
    fly(targets);
  }

  const point = (event) => {
    const box = table.getBoundingClientRect();
    return { x: ((event.clientX - box.left) * table.width) / box.width, y: ((event.clientY - box.top) * table.height) / box.height };
  };
  function under({ x, y }) {
    return [...lying].reverse().find((one) => {
      const a = (-one.angle * Math.PI) / 2, dx = x - one.x, dy = y - one.y;
      const px = Math.floor(dx * Math.cos(a) - dy * Math.sin(a) + one.piece.width / 2), py = Math.floor(dx * Math.sin(a) + dy * Math.cos(a) + one.piece.height / 2);
      return px >= 0 && py >= 0 && px < one.piece.width && py < one.piece.height && one.out.data[4 * (py * one.piece.width + px) + 3] > 0;
    });
  }
  function settle(one) {
    const near = NEAR * Math.min(one.piece.width, one.piece.height);
    one.at = null;
    places(one.piece).forEach((place, i) => {
      const free = !lying.some((other) => other !== one && other.at !== null && other.x === place.x && other.y === place.y);
      if (free && modulo(one.angle - place.angle, 4) === 0 && Math.hypot(one.x - place.x, one.y - place.y) < near) Object.assign(one, place, { at: i });
    });
    if (one.at !== null) lying = [one, ...lying.filter((other) => other !== one)]; // what lies in its place lies low
  }
  let grip = null;
  table.addEventListener("pointerdown", (event) => {
    const at = point(event), one = under(at);
    if (!one || grip) return;
    cancelAnimationFrame(moving);
    table.setPointerCapture(event.pointerId);
    lying = [...lying.filter((other) => other !== one), one];
    grip = { id: event.pointerId, one, dx: one.x - at.x, dy: one.y - at.y, moved: 0, at };
  });
  table.addEventListener("pointermove", (event) => {
    if (!grip || event.pointerId !== grip.id) return;
    const at = point(event);
    grip.moved = Math.max(grip.moved, Math.hypot(at.x - grip.at.x, at.y - grip.at.y) * (table.clientWidth / table.width));
    Object.assign(grip.one, { x: at.x + grip.dx, y: at.y + grip.dy, at: null });
    draw();
  });
  for (const name of ["pointerup", "pointercancel"]) table.addEventListener(name, (event) => {
    if (!grip || event.pointerId !== grip.id) return;
    if (grip.moved < 4 && turning) grip.one.angle = (Math.round(grip.one.angle) + 1) % 4;
    grip.one.x = Math.min(table.width, Math.max(0, grip.one.x));
    grip.one.y = Math.min(table.height, Math.max(0, grip.one.y));
    settle(grip.one);
    grip = null;
    draw();
    check();
  });
  document.querySelectorAll("#puzzle [data-do]").forEach((button) => button.addEventListener("click", () => {
    ({ shuffle, first: () => arrange(0), second: () => arrange(1) })[button.dataset.do]();
  }));

  table.lying = () => lying.map((one) => { // for those who script the page: what lies where, and where it may be gripped
    const goal = places(one.piece)[1], a = (one.angle * Math.PI) / 2;
    const dx = one.own[0] + 0.5 - one.piece.width / 2, dy = one.own[1] + 0.5 - one.piece.height / 2;
    const grip = [one.x + dx * Math.cos(a) - dy * Math.sin(a), one.y + dx * Math.sin(a) + dy * Math.cos(a)];
    return { at: one.at, angle: one.angle, wanted: goal.angle, x: one.x, y: one.y, goal: [goal.x, goal.y], grip };
  });

  Promise.all([loaded(data.picture), loaded(labels)]).then(([image, owners]) => {
    [wide, high] = [image.width, image.height];
    Object.assign(table, { width: wide, height: Math.round(high * 1.4) });
    const whole = pixels(image), own = pixels(owners);
    lying = pieces.map((piece, i) => {
      const one = cut(i, piece, whole, own), [a, b] = places(piece);
      piece.stays = a.x === b.x && a.y === b.y && piece.quarters === 0;
      return one;
    });
    document.getElementById("puzzle").hidden = false;
    draw();
    check();
  });
})();
