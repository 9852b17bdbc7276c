// A picture's part brought to a size as Pillow's bilinear filter does it: each pixel is the mean, by a triangle, of all that
// it covers. What a browser's own scaling gives is each browser's matter.

function weights(size, from, to, wanted) {
  const scale = (to - from) / wanted;
  const support = Math.max(scale, 1);
  return Array.from({ length: wanted }, (_, place) => {
    const center = from + (place + 0.5) * scale;
    const first = Math.max(0, Math.floor(center - support + 0.5));
    const end = Math.min(size, Math.floor(center + support + 0.5));
    const values = [];
    for (let at = first; at < end; at += 1) values.push(Math.max(0, 1 - Math.abs((at - center + 0.5) / support)));
    const sum = values.reduce((one, other) => one + other, 0);
    return { first, values: values.map((value) => value / sum) };
  });
}

function along(source, wanted, rows, channels, step, rowStep) {
  const result = new Uint8Array(wanted.length * rows * channels);
  let at = 0;
  for (let row = 0; row < rows; row += 1) {
    for (const { first, values } of wanted) {
      for (let channel = 0; channel < channels; channel += 1) {
        let sum = 0;
        let place = row * rowStep + first * step + channel;
        for (const value of values) {
          sum += value * source[place];
          place += step;
        }
        result[at++] = Math.round(sum);
      }
    }
  }
  return result;
}

function turned(source, width, height, channels) {
  const result = new Uint8Array(source.length);
  for (let y = 0; y < height; y += 1)
    for (let x = 0; x < width; x += 1)
      for (let c = 0; c < channels; c += 1) result[(x * height + y) * channels + c] = source[(y * width + x) * channels + c];
  return result;
}

// `pixels` are bytes, row by row, channels last; `box` is [left, top, right, bottom] in them. Returns the same of the new size.
export function resized(pixels, width, height, channels, box, newWidth, newHeight) {
  const across = weights(width, box[0], box[2], newWidth);
  const wide = along(pixels, across, height, channels, channels, width * channels);
  const columns = turned(wide, newWidth, height, channels);
  const down = weights(height, box[1], box[3], newHeight);
  return turned(along(columns, down, newWidth, channels, channels, height * channels), newHeight, newWidth, channels);
}
