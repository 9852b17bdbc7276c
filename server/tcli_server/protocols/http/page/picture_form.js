// How a model takes a picture, from its metadata and configuration; read as `tcli infer` reads them.

const LEAST_SIDE = 4;
const LARGEST_SIDE = 16384;
const DEFAULT_SIDE = 224;
const INTEGERS = { UINT8: [0, 255], INT8: [-128, 127], UINT16: [0, 65535], INT16: [-32768, 32767], UINT32: [0, 2 ** 32 - 1], INT32: [-(2 ** 31), 2 ** 31 - 1] };
const FRACTIONS = ["FP16", "FP32", "FP64"];
const NUMBER = /[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?/gi;

const SCALINGS = {
  NONE: () => values(1, 1),
  INCEPTION: () => values(1, 127.5, [1]),
  VGG: (grey) => values(1, 1, grey ? [128] : [123, 117, 104]),
  IMAGENET: (grey) => values(1, 255, grey ? [0.449] : [0.485, 0.456, 0.406], grey ? [0.226] : [0.229, 0.224, 0.225]),
};

// (x * numerator / denominator - mean) / std, mean and std in the order of the model's channels.
function values(numerator, denominator, mean = null, std = null) {
  return { numerator, denominator, mean, std };
}

// null where the model takes no picture.
export function pictureForm(metadata, config) {
  if (metadata.inputs?.length !== 1) return null;
  const input = metadata.inputs[0];
  const shape = input.shape.map(Number);
  const batched = Number(config.max_batch_size ?? 0) > 0;
  if (input.datatype === "BYTES") {
    const one = shape.length === 1 ? shape[0] === 1 : shape.length === 2 && shape[0] === -1 && shape[1] === 1;
    return one ? { kind: "bytes", input: input.name, datatype: "BYTES", shape: shape.map(() => 1) } : null;
  }
  if (!(input.datatype in INTEGERS) && !FRACTIONS.includes(input.datatype)) return null;
  const leading = batched || shape.length === 4;
  if (leading && !batched && ![1, -1].includes(shape[0])) return null;
  const dims = leading ? shape.slice(1) : shape;
  const said = Object.fromEntries(Object.entries(config.parameters ?? {}).map(([key, value]) => [key, value.string_value ?? ""]));
  const layout = dims.length === 3 ? layoutOf(input.name, dims, config) : null;
  if (!layout) return null;
  let [channels, height, width] = byLayout(dims, layout);
  if (![1, 3].includes(channels)) return null;
  height = height > 0 ? height : side(said.tcli_image_height);
  width = width > 0 ? width : side(said.tcli_image_width);
  const bgr = said.tcli_image_color_format === "BGR" && channels === 3;
  const one = layout === "NCHW" ? [channels, height, width] : [height, width, channels];
  const form = {
    kind: "pixels", input: input.name, datatype: input.datatype, layout, channels, height, width, bgr,
    shape: leading ? [1, ...one] : one,
    scaling: scalingOf(said, channels, bgr, input.datatype),
    fitting: { resize: said.tcli_image_resize || "exact", to: sizeOf(said.tcli_image_resize_to) },
  };
  return holds(form) ? form : null;
}

function side(text) {
  const number = Number(text);
  return Number.isInteger(number) && number > 0 && number <= LARGEST_SIDE ? number : DEFAULT_SIDE;
}

function sizeOf(text) {
  const sides = /^\s*(\d{1,5})\s*(?:x\s*(\d{1,5}))?\s*$/.exec(text ?? "");
  return sides && Number(sides[1]) ? [Number(sides[1]), Number(sides[2] ?? sides[1])] : null;
}

function byLayout([first, second, third], layout) {
  return layout === "NCHW" ? [first, second, third] : [third, first, second];
}

function layoutOf(name, dims, config) {
  const format = config.input?.find((one) => one.name === name)?.format ?? "";
  if (format === "FORMAT_NCHW" || format === "FORMAT_NHWC") return format.slice("FORMAT_".length);
  return ["NCHW", "NHWC"].find((layout) => isPicture(...byLayout(dims, layout))) ?? null;
}

// Sounds and points in space have three dimensions, too.
function isPicture(channels, height, width) {
  const sides = [height, width].filter((one) => one >= 0);
  if (![1, 3].includes(channels) || sides.some((one) => one < LEAST_SIDE || one > LARGEST_SIDE)) return false;
  if (channels === 1) return height === width;
  return sides.length < 2 || Math.max(...sides) <= 8 * Math.min(...sides);
}

function scalingOf(said, channels, bgr, datatype) {
  const numbers = (key) => said[key] ? said[key].match(NUMBER)?.map(Number) ?? null : null;
  const scale = numbers("tcli_image_scale");
  const mean = numbers("tcli_image_mean");
  const std = numbers("tcli_image_std");
  if (scale || mean || std) return values(scale?.[0] ?? 1, scale?.[1] ?? 1, mean, std);
  const name = (said.tcli_image_scaling ?? "").toUpperCase();
  const usual = datatype in INTEGERS ? "NONE" : "INCEPTION";
  const scaling = SCALINGS[name in SCALINGS ? name : usual](channels === 1);
  if (bgr) for (const list of [scaling.mean, scaling.std]) list?.reverse();
  return scaling;
}

// Whether the datatype can hold the values.
function holds({ datatype, scaling }) {
  const limits = INTEGERS[datatype];
  if (!limits) return true;
  if (scaling.denominator !== 1 || scaling.std || scaling.numerator !== 1) return false;
  const means = scaling.mean ?? [0];
  return -Math.max(...means) >= limits[0] && 255 - Math.min(...means) <= limits[1] && means.every(Number.isInteger);
}

// Python's rounding: ties to even.
function half(count) {
  return count % 4 === 1 || count % 4 === -3 ? (count - 1) / 2 : Math.round(count / 2);
}

// The part of a picture that fills the model's size: [left, top, right, bottom].
export function boxOf(form, width, height) {
  const { resize, to } = form.fitting;
  let tall = height;
  let wide = width;
  if (resize === "none") {
    if (width < form.width || height < form.height)
      throw new Error(`The picture has ${width} x ${height} pixels, and the model wants ${form.width} x ${form.height} of it as they are.`);
  } else if (resize === "shorter_side") {
    const shorter = Math.min(...(to && to[0] >= form.height && to[1] >= form.width ? to : [Math.max(form.height, form.width)]));
    [tall, wide] = width <= height ? [Math.floor((shorter * height) / width), shorter] : [shorter, Math.floor((shorter * width) / height)];
  } else {
    [tall, wide] = to && to[0] >= form.height && to[1] >= form.width ? to : [form.height, form.width];
  }
  const top = half(tall - form.height);
  const left = half(wide - form.width);
  const across = width / wide;
  const down = height / tall;
  return [left * across, top * down, Math.min(width, (left + form.width) * across), Math.min(height, (top + form.height) * down)];
}
