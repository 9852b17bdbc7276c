// Requests for inference: an example to begin with, and that of a picture.

const MOST_ELEMENTS = 2000;
const FRACTIONS = ["FP32", "FP64"];
const JSON_DATATYPES = [...FRACTIONS, "BOOL", "BYTES", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"];
const CLASSES = 5;

function element(datatype) {
  if (datatype === "BOOL") return false;
  return datatype === "BYTES" ? "text" : 0;
}

function listed(texts) {
  return `[${texts.join(", ")}]`;
}

// The outputs to ask for: the best classes, where a model's only output has a score for each class.
function outputsOf(metadata, wanted) {
  if (!wanted || metadata.outputs?.length !== 1) return undefined;
  const { name, datatype, shape } = metadata.outputs[0];
  const sizes = shape.map(Number).filter((size) => size !== 1 && size !== -1);
  if (datatype === "BYTES" || datatype === "BOOL" || sizes.length !== 1) return undefined;
  return [{ name, parameters: { classification: Math.min(CLASSES, sizes[0]) } }];
}

// Text of a request that the model takes, or "" where it would be too long to be of use, or JSON has no such type.
export function exampleRequest(metadata, config) {
  const lines = [];
  let count = 0;
  for (const { name, datatype, shape } of metadata.inputs ?? []) {
    if (config.input?.find((one) => one.name === name)?.optional) continue;
    if (!JSON_DATATYPES.includes(datatype)) return "";
    const size = shape.map((dim) => (Number(dim) < 0 ? 1 : Number(dim)));
    const elements = size.reduce((one, other) => one * other, 1);
    count += elements;
    if (count > MOST_ELEMENTS) return "";
    const data = listed(Array(elements).fill(JSON.stringify(element(datatype))));
    lines.push(`    {"name": ${JSON.stringify(name)}, "shape": ${listed(size)}, "datatype": "${datatype}", "data": ${data}}`);
  }
  const labelled = config.output?.some((one) => one.label_filename);
  const outputs = outputsOf(metadata, labelled);
  return `{\n  "inputs": [\n${lines.join(",\n")}\n  ]${outputs ? `,\n  "outputs": ${JSON.stringify(outputs)}` : ""}\n}`;
}

// { body, headers, header }: a request whose one tensor lies behind its JSON.
export function binaryRequest(form, bytes, metadata) {
  const document = {
    inputs: [{ name: form.input, shape: form.shape, datatype: form.datatype, parameters: { binary_data_size: bytes.length } }],
    outputs: outputsOf(metadata, true),
  };
  const json = new TextEncoder().encode(JSON.stringify(document));
  return {
    document,
    body: new Blob([json, bytes]),
    headers: { "Content-Type": "application/octet-stream", "Inference-Header-Content-Length": String(json.length) },
  };
}
