// Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
// An exported model in a browser, on onnxruntime-web. The functions are those
// of swahr_mmpose/deploy/runtime, with the same arithmetic and order.
//
// K keypoints, L tag dimensions, maps of H x W cells. A map is
// {data: Float32Array, height, width}, cells are [x, y].
'use strict';

const poseDecoding = (() => {
  const {fround} = Math;
  const LARGEST_RATIO = 20;
  const LARGEST_SCALE = 16;
  const INFINITE = 1e6;
  const TINY = 1.1754943508222875e-38;

  // Round half to even, as numpy.rint.
  function rint(value) {
    const rounded = Math.round(value);
    return Math.abs(value % 1) === 0.5 && rounded % 2 ? rounded - 1 : rounded;
  }

  const clip = (value, low, high) => Math.min(Math.max(value, low), high);

  const roundUp = (length, factor) =>
    Math.floor((length + factor - 1) / factor) * factor;

  // Geometry of preprocess.py: size of the input, centre and extent in image
  // pixels. settings.size is that of a graph of fixed size, or null.
  function makeGeometry(width, height, settings) {
    let size, extent;
    if (settings.size) {
      size = settings.size;
      const step = Math.max(width / size[0], height / size[1]);
      extent = [step * size[0], step * size[1]];
    } else {
      const factor = settings.size_factor;
      const short = roundUp(settings.input_size, factor);
      const least = Math.min(width, height);
      const long = roundUp(short / least * Math.max(width, height), factor);
      const covered = long / short * least;
      size = width < height ? [short, long] : [long, short];
      extent = width < height ? [width, covered] : [covered, height];
    }
    let center = [Math.floor(width / 2 + 0.5), Math.floor(height / 2 + 0.5)];
    if (settings.unbiased) {
      const half = (extent[0] / size[0] - 1) / 2;
      center = [width / 2 + half, height / 2 + half];
    }
    return {size, center, extent};
  }

  // Source positions of columns and rows in 1/32 pixels.
  function locate({size, center, extent}, unbiased) {
    if (unbiased) {
      return [0, 1].map((axis) => Array.from({length: size[axis]}, (_, n) =>
        rint(fround(fround((n - size[axis] / 2) * (extent[axis] / size[axis])
          + center[axis]) * 32))));
    }
    const [w, h] = size;
    const slopes = center.map((c) =>
      (fround(c) - fround(c - extent[0] / 2)) / (w / 2));
    const offset = rint((center[0] - slopes[0] * w / 2) * 1024);
    const columns = Array.from({length: w}, (_, n) =>
      (rint(slopes[0] * n * 1024) + offset + 16) >> 5);
    const rows = Array.from({length: h}, (_, n) =>
      (rint((slopes[1] * n + (center[1] - slopes[1] * h / 2)) * 1024) + 16)
        >> 5);
    return [columns, rows];
  }

  // The two pixels around each position, and their weights in 1/32.
  function makeTaps(positions, length) {
    return positions.map((position) => {
      const before = position >> 5;
      const part = position & 31;
      const inside = (index) => index >= 0 && index < length;
      return {
        index: [clip(before, 0, length - 1), clip(before + 1, 0, length - 1)],
        weight: [inside(before) ? 32 - part : 0, inside(before + 1) ? part : 0],
      };
    });
  }

  // Network input (3, H, W) of RGBA pixels.
  function preprocess(image, settings) {
    const geometry = makeGeometry(image.width, image.height, settings);
    const [columns, rows] = locate(geometry, settings.unbiased);
    const tapsX = makeTaps(columns, image.width);
    const tapsY = makeTaps(rows, image.height);
    const [w, h] = geometry.size;
    const input = new Float32Array(3 * w * h);
    for (let c = 0; c < 3; c++) {
      const source = settings.channel_order === 'rgb' ? c : 2 - c;
      const mean = fround(settings.mean[c]);
      const std = fround(settings.std[c]);
      for (let y = 0; y < h; y++) {
        const {index: [y0, y1], weight: [v0, v1]} = tapsY[y];
        const [top, bottom] = [y0 * image.width, y1 * image.width];
        for (let x = 0; x < w; x++) {
          const {index: [x0, x1], weight: [u0, u1]} = tapsX[x];
          const read = (cell) => image.data[4 * cell + source];
          const left = read(top + x0) * v0 + read(bottom + x0) * v1;
          const right = read(top + x1) * v0 + read(bottom + x1) * v1;
          const value = (left * u0 + right * u1 + 512) >> 10;
          input[(c * h + y) * w + x] = fround(fround(value - mean) / std);
        }
      }
    }
    return {input, geometry};
  }

  // The two source cells of a target cell, and the weight of the latter.
  function locateNeighbours(position, small, large) {
    const source = Math.max((position + 0.5) * (small / large) - 0.5, 0);
    const before = Math.floor(source);
    return [before, Math.min(before + 1, small - 1), fround(source - before)];
  }

  // A value of a map that is resized bilinearly to height x width.
  function readCell(map, x, y, width, height) {
    const {data, width: w, height: h} = map;
    if (w === width && h === height) return data[y * w + x];
    const [y0, y1, v] = locateNeighbours(y, h, height);
    const [x0, x1, u] = locateNeighbours(x, w, width);
    const mix = (a, b, weight) => fround(a + fround(fround(b - a) * weight));
    const left = mix(data[y0 * w + x0], data[y1 * w + x0], v);
    const right = mix(data[y0 * w + x1], data[y1 * w + x1], v);
    return mix(left, right, u);
  }

  function resize(map, width, height) {
    const data = new Float32Array(width * height);
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        data[y * width + x] = readCell(map, x, y, width, height);
      }
    }
    return {data, width, height};
  }

  // Double a map while twice its size is below a target in both axes.
  function enlargeByDoubling(map, width, height) {
    while (2 * map.height < height && 2 * map.width < width) {
      map = resize(map, 2 * map.width, 2 * map.height);
    }
    return map;
  }

  // Split a tensor (1, C, H, W) into C maps.
  function splitMaps(tensor) {
    const [, count, height, width] = tensor.dims;
    const size = height * width;
    return Array.from({length: count}, (_, c) => (
      {data: tensor.data.subarray(c * size, (c + 1) * size), width, height}));
  }

  // The strongest cells above a threshold that no cell in a window exceeds.
  function findPeaks({data, width, height}, {keypoint_thr, nms_kernel, topk}) {
    const reach = nms_kernel >> 1;
    const threshold = fround(keypoint_thr);
    const peaks = [];
    const isMaximum = (x, y, score) => {
      const [last, bottom] = [Math.min(x + reach, width - 1),
        Math.min(y + reach, height - 1)];
      for (let j = Math.max(y - reach, 0); j <= bottom; j++) {
        for (let i = Math.max(x - reach, 0); i <= last; i++) {
          if (data[j * width + i] > score) return false;
        }
      }
      return true;
    };
    for (let cell = 0; cell < data.length; cell++) {
      const score = data[cell];
      const [x, y] = [cell % width, Math.floor(cell / width)];
      if (score > threshold && isMaximum(x, y, score)) peaks.push({x, y, score});
    }
    return peaks.sort((a, b) => b.score - a.score).slice(0, topk);
  }

  // Assignment of minimum cost (Hungarian method with potentials); the column
  // of each row, -1 for none.
  function assignMinimum(cost) {
    const [n, m] = [cost.length, cost[0].length];
    if (n > m) {
      const rows = new Array(n).fill(-1);
      const transposed = cost[0].map((_, j) => cost.map((row) => row[j]));
      assignMinimum(transposed).forEach((row, j) => { rows[row] = j; });
      return rows;
    }
    const u = new Float64Array(n + 1);
    const v = new Float64Array(m + 1);
    const match = new Int32Array(m + 1);
    const way = new Int32Array(m + 1);
    for (let i = 1; i <= n; i++) {
      match[0] = i;
      let j0 = 0;
      const least = new Float64Array(m + 1).fill(Infinity);
      const used = new Uint8Array(m + 1);
      do {
        used[j0] = 1;
        const row = match[j0];
        let [delta, next] = [Infinity, 0];
        for (let j = 1; j <= m; j++) {
          if (used[j]) continue;
          const value = cost[row - 1][j - 1] - u[row] - v[j];
          if (value < least[j]) { least[j] = value; way[j] = j0; }
          if (least[j] < delta) { delta = least[j]; next = j; }
        }
        for (let j = 0; j <= m; j++) {
          if (used[j]) { u[match[j]] += delta; v[j] -= delta; }
          else least[j] -= delta;
        }
        j0 = next;
      } while (match[j0]);
      for (; j0; j0 = way[j0]) match[j0] = match[way[j0]];
    }
    const columns = new Array(n).fill(-1);
    for (let j = 1; j <= m; j++) if (match[j]) columns[match[j] - 1] = j - 1;
    return columns;
  }

  // The person of each candidate, -1 for none; see assign_nearest.
  function assignNearest(scores, distance, threshold) {
    const cost = distance.map((row, i) => row.map((d) => {
      const near = Math.min(d, threshold);
      return rint(d) * 100 - scores[i] + (1e-8 * near + 1e-10 * near ** 2);
    }));
    return assignMinimum(cost).map((slot, i) =>
      slot >= 0 && distance[i][slot] < threshold ? slot : -1);
  }

  function measureDistance(tag, mean) {
    const sum = tag.reduce((total, t, l) => total + (t - mean[l]) ** 2, 0);
    const distance = Math.sqrt(sum);
    return distance <= INFINITE ? distance : INFINITE;  // also of NaN
  }

  // Add a candidate to the person of a slot; -1 starts a person, whose key is
  // the first component of its first tag.
  function addCandidate(groups, k, peak, slot) {
    if (slot < 0) {
      const key = peak.tag[0];
      if (!groups.slotOf.has(key)) {
        groups.slotOf.set(key, groups.people.length);
        groups.people.push({peaks: []});
      }
      slot = groups.slotOf.get(key);
      Object.assign(groups.people[slot], {sum: peak.tag.slice(), count: 1});
    } else {
      const person = groups.people[slot];
      person.sum = person.sum.map((s, l) => fround(s + peak.tag[l]));
      person.count += 1;
    }
    groups.people[slot].peaks[k] = peak;
  }

  // Group candidates {x, y, score, tag} into people, keypoint by keypoint.
  function groupByTags(candidates, {keypoint_order, tag_thr, topk}) {
    const groups = {slotOf: new Map(), people: []};
    for (const k of keypoint_order) {
      const valid = candidates[k].filter((p) => p.tag.every(Number.isFinite));
      let slots = valid.map(() => -1);
      if (groups.people.length && valid.length) {
        const means = groups.people.slice(0, topk).map(({sum, count}) =>
          sum.map((s) => fround(s / count)));
        const distance = valid.map(({tag}) =>
          means.map((mean) => measureDistance(tag, mean)));
        slots = assignNearest(valid.map((p) => p.score), distance, tag_thr);
      }
      valid.forEach((peak, i) => addCandidate(groups, k, peak, slots[i]));
    }
    return groups.people.map((person) => person.peaks);
  }

  // The first cell that maximises heatmap - round(tag distance).
  function findBestCell(heatmap, tags, mean) {
    let [best, index] = [-Infinity, -1];
    for (let cell = 0; cell < heatmap.data.length; cell++) {
      let squared = 0;
      for (let l = 0; l < tags.length; l++) {
        const difference = fround(tags[l].data[cell] - mean[l]);
        squared = fround(squared + fround(difference * difference));
      }
      const fit = fround(heatmap.data[cell] - rint(fround(Math.sqrt(squared))));
      if (fit > best) { best = fit; index = cell; }
    }
    return index;
  }

  // Fill missing keypoints of people, in place.
  function fillMissing(people, heatmaps, tags) {
    const means = people.map((peaks) => {
      const found = peaks.filter((peak) => peak && peak.score > 0);
      return found.length && found[0].tag.map((_, l) => fround(
        found.reduce((s, p) => fround(s + p.tag[l]), 0) / found.length));
    });
    heatmaps.forEach((heatmap, k) => {
      const {width, height} = heatmap;
      let resized = null;
      people.forEach((peaks, n) => {
        if ((peaks[k] && peaks[k].score > 0) || !means[n]) return;
        resized = resized || tags[k].map((map) => resize(map, width, height));
        const cell = findBestCell(heatmap, resized, means[n]);
        if (cell < 0 || !(heatmap.data[cell] > 0)) return;
        const [x, y] = [cell % width, Math.floor(cell / width)];
        peaks[k] = {x, y, score: heatmap.data[cell], filled: true};
      });
    });
  }

  // Sub-pixel offset of a peak along x (0) or y (1).
  function refine({data, width, height}, {x, y}, axis, settings) {
    const [n, position] = axis ? [height, y] : [width, x];
    const read = (p) => data[axis
      ? clip(p, 0, height - 1) * width + x : y * width + clip(p, 0, width - 1)];
    if (!settings.unbiased) {
      return read(position + 1) > read(position - 1) ? 0.25 : -0.25;
    }
    const step = Math.max(rint(settings.finest_stride / settings.stride), 1);
    const [before, centre, after] = [-step, 0, step].map((offset) =>
      fround(Math.log(Math.max(read(position + offset), TINY))));
    const curvature = fround(fround(fround(2 * centre) - before) - after);
    if (!(curvature > 0 && position >= step && position + step < n)) return 0;
    const shift = fround(fround(0.5 * step) * fround(after - before));
    return clip(fround(shift / curvature), -step / 2, step / 2);
  }

  // Position in input pixels.
  function toPixels(heatmap, peak, settings) {
    return [peak.x, peak.y].map((cell, axis) => fround(
      fround(cell + refine(heatmap, peak, axis, settings) + 0.5)
        * settings.stride - (settings.unbiased ? 0.5 : 0)));
  }

  // Standard deviation of a keypoint in input pixels; NaN if it has none.
  function readSigma({data, width, height}, [px, py], settings) {
    const {finest_stride: stride, sigma, unbiased} = settings;
    const first = stride / 2 - (unbiased ? 0.5 : 0);
    const [cx, cy] = [(px - first) / stride, (py - first) / stride];
    const radius = Math.ceil(3 * sigma);
    let [total, sum] = [0, 0];
    for (let y = rint(cy) - radius; y <= rint(cy) + radius; y++) {
      for (let x = rint(cx) - radius; x <= rint(cx) + radius; x++) {
        if (x < 0 || x >= width || y < 0 || y >= height) continue;
        const exponent = ((x - cx) ** 2 + (y - cy) ** 2) / (2 * sigma ** 2);
        const weight = exponent * Math.exp(-exponent);
        total += weight;
        sum += weight * data[y * width + x];
      }
    }
    const mean = sum / (total > 0 ? total : NaN);
    return sigma * stride
      * Math.sqrt(1 / Math.max(1 + mean, 1 / LARGEST_SCALE));
  }

  const round = (value, digits) => Number(value.toFixed(digits));

  // People of the outputs of a graph (tensors of one image), in image pixels.
  function decode(outputs, geometry, settings) {
    const [heatmaps, flatTags, alphas] = outputs.map(splitMaps);
    const {codec, keypoints: names} = settings;
    const [{width, height}, count] = [heatmaps[0], heatmaps.length];
    for (const {data} of heatmaps) {
      data.forEach((value, i) => {
        if (Number.isNaN(value) || value === Infinity) data[i] = 0;
      });
    }
    const enlarged = flatTags.map((map) =>
      enlargeByDoubling(map, width, height));
    const tags = names.map((_, k) =>
      enlarged.filter((map, index) => index % count === k));
    const candidates = heatmaps.map((heatmap, k) =>
      findPeaks(heatmap, codec).map((peak) => ({...peak, tag: tags[k].map(
        (map) => readCell(map, peak.x, peak.y, width, height))})));
    let people = groupByTags(candidates, codec).map((peaks) => ({peaks,
      score: peaks.reduce((s, p) => s + (p ? p.score : 0), 0) / count}));
    if (codec.max_instances !== null) {
      const best = [...people].sort((a, b) => b.score - a.score)
        .slice(0, codec.max_instances);
      people = people.filter((person) => best.includes(person));
    }
    if (codec.fill_missing) {
      fillMissing(people.map((person) => person.peaks), heatmaps, tags);
    }
    return people.map(({peaks, score}) => {
      const person = {score: round(score, 3), keypoints: {}, filled: []};
      if (alphas) person.sigmas = {};
      names.forEach((name, k) => {
        if (!peaks[k] || !(peaks[k].score > 0)) return;
        const pixels = toPixels(heatmaps[k], peaks[k], settings);
        const point = pixels.map((value, axis) =>
          value / geometry.size[axis] * geometry.extent[axis]
          + geometry.center[axis] - 0.5 * geometry.extent[axis]);
        person.keypoints[name] = [...point, peaks[k].score].map((value) =>
          round(value, 3));
        if (peaks[k].filled) person.filled.push(name);
        if (!alphas) return;
        const zoom = (geometry.extent[0] / geometry.size[0]
          + geometry.extent[1] / geometry.size[1]) / 2;
        const sigma = readSigma(alphas[k], pixels, settings) * zoom;
        if (Number.isFinite(sigma)) person.sigmas[name] = round(sigma, 5);
      });
      return person;
    });
  }

  function checkRatio({width, height}) {
    if (Math.max(width, height) > LARGEST_RATIO * Math.min(width, height)) {
      throw new Error(`The image has ${width} x ${height} pixels; the aspect `
        + `ratio may be at most ${LARGEST_RATIO}. Crop it.`);
    }
  }

  return {assignMinimum, checkRatio, decode, preprocess};
})();

// The model of the static page, with the answers of the web service.
window.poseModel = (() => {
  let loaded = null;

  async function load() {
    const response = await fetch('settings.json');
    const settings = await response.json();
    ort.env.wasm.numThreads = 1; // more need headers that few hosts send
    const session = await ort.InferenceSession.create(
      'model.onnx', {executionProviders: ['wasm']});
    return {session, settings};
  }

  function getModel() {
    loaded = loaded || load().catch((error) => {
      loaded = null;
      throw new Error('The model cannot be loaded: ' + error.message);
    });
    return loaded;
  }

  async function readPixels(blob, settings) {
    const bitmap = await createImageBitmap(blob, {
      imageOrientation: settings.ignore_orientation ? 'none' : 'from-image',
      colorSpaceConversion: 'none', premultiplyAlpha: 'none'});
    poseDecoding.checkRatio(bitmap);
    const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
    const context = canvas.getContext('2d', {willReadFrequently: true});
    context.drawImage(bitmap, 0, 0);
    return context.getImageData(0, 0, bitmap.width, bitmap.height);
  }

  async function detect(blob) {
    const {session, settings} = await getModel();
    const started = performance.now();
    const image = await readPixels(blob, settings);
    const {input, geometry} = poseDecoding.preprocess(image, settings);
    const [width, height] = geometry.size;
    const tensor = new ort.Tensor('float32', input, [1, 3, height, width]);
    const results = await session.run({[session.inputNames[0]]: tensor});
    const outputs = session.outputNames.map((name) => results[name]);
    const people = poseDecoding.decode(outputs, geometry, settings);
    return {people, seconds: (performance.now() - started) / 1000};
  }

  async function describe() {
    const {settings} = await getModel();
    const {keypoints, skeleton, output_scales: uncertainty} = settings;
    return {keypoints, skeleton, uncertainty};
  }

  return {describe, detect};
})();
