// From a picture to the bytes of a model's input.

import { boxOf } from "./picture_form.js";
import { resized } from "./resize.js";

const MOST_PIXELS = 2 ** 26;
const ARRAYS = {
  FP32: Float32Array, FP64: Float64Array, UINT8: Uint8Array, INT8: Int8Array,
  UINT16: Uint16Array, INT16: Int16Array, UINT32: Uint32Array, INT32: Int32Array,
};

// { bytes, box, preview }: the input's bytes, the part that was taken, and the picture as the model gets it.
export async function pictureInput(file, form) {
  if (form.kind === "bytes") {
    const content = new Uint8Array(await file.arrayBuffer().catch(() => {
      throw new Error("This browser cannot read the file; a folder is none.");
    }));
    const bytes = new Uint8Array(4 + content.length);
    new DataView(bytes.buffer).setUint32(0, content.length, true);
    bytes.set(content, 4);
    return { bytes, box: null, preview: null };
  }
  const { data, width, height } = await decoded(file);
  const pixels = withoutAlpha(data, form.channels);
  const box = boxOf(form, width, height);
  const fitted = resized(pixels, width, height, form.channels, box, form.width, form.height);
  return { bytes: scaled(fitted, form), box, preview: previewOf(fitted, form) };
}

async function decoded(file) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { colorSpaceConversion: "none" });
  } catch {
    throw new Error("This browser cannot read the file as a picture.");
  }
  if (bitmap.width * bitmap.height > MOST_PIXELS) throw new Error("The picture has more than 64 million pixels: tcli infer takes it.");
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "#fff"; // what is transparent
  context.fillRect(0, 0, bitmap.width, bitmap.height);
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return context.getImageData(0, 0, canvas.width, canvas.height);
}

function withoutAlpha(data, channels) {
  const count = data.length / 4;
  const pixels = new Uint8Array(count * channels);
  for (let at = 0; at < count; at += 1) {
    const [from, to] = [4 * at, channels * at];
    if (channels === 1) {
      pixels[to] = (data[from] * 19595 + data[from + 1] * 38470 + data[from + 2] * 7471 + 32768) >> 16;
    } else {
      pixels[to] = data[from];
      pixels[to + 1] = data[from + 1];
      pixels[to + 2] = data[from + 2];
    }
  }
  return pixels;
}

function scaled(pixels, form) {
  const { channels, height, width, scaling } = form;
  const half = form.datatype === "FP16";
  const round = form.datatype === "FP64" ? (value) => value : Math.fround;
  const result = new (half ? Float32Array : ARRAYS[form.datatype])(pixels.length);
  const of = (list, channel, otherwise) => (list ? round(list.length === 1 ? list[0] : list[channel]) : otherwise);
  for (let channel = 0; channel < channels; channel += 1) {
    const mean = of(scaling.mean, channel, 0);
    const std = of(scaling.std, channel, 1);
    const source = form.bgr ? channels - 1 - channel : channel;
    for (let at = 0; at < height * width; at += 1) {
      const factored = round(round(pixels[at * channels + source] / round(scaling.denominator)) * round(scaling.numerator));
      const place = form.layout === "NCHW" ? channel * height * width + at : at * channels + channel;
      result[place] = round(round(factored - mean) / std);
    }
  }
  return new Uint8Array((half ? halves(result) : result).buffer);
}

// Nearest, ties to even; the values of pixels are far from the largest that there is.
function halves(values) {
  const bits = new DataView(new ArrayBuffer(4));
  return Uint16Array.from(values, (value) => {
    bits.setFloat32(0, value);
    const word = bits.getUint32(0);
    const sign = (word >>> 16) & 0x8000;
    const exponent = ((word >>> 23) & 0xff) - 112;
    const fraction = word & 0x7fffff;
    if (exponent >= 31) return sign | 0x7c00;
    if (exponent < -10) return sign;
    const whole = exponent > 0 ? (exponent << 23) | fraction : fraction | 0x800000;
    const shift = exponent > 0 ? 13 : 14 - exponent;
    const kept = Math.floor(whole / 2 ** shift);
    const left = whole - kept * 2 ** shift;
    const middle = 2 ** (shift - 1);
    return sign | (kept + (left > middle || (left === middle && kept & 1) ? 1 : 0));
  });
}

function previewOf(pixels, { channels, height, width }) {
  const data = new ImageData(width, height);
  for (let at = 0; at < height * width; at += 1) {
    for (let channel = 0; channel < 3; channel += 1) data.data[4 * at + channel] = pixels[at * channels + (channels === 3 ? channel : 0)];
    data.data[4 * at + 3] = 255;
  }
  return data;
}
