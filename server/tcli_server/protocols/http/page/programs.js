// A request as a command and as Python, to be copied.

import { address, hasToken } from "./api.js";
import { element } from "./dom.js";

function shell(text) {
  return "'" + text.replaceAll("'", "'\\''") + "'";
}

// JSON is Python but for three words and some escapes; its numbers stay as they were written.
function python(json) {
  const words = { true: "True", false: "False", null: "None" };
  return json.replace(/"(?:[^"\\]|\\.)*"|\b(?:true|false|null)\b/g, (token) => words[token] ?? JSON.stringify(JSON.parse(token)));
}

function literal(text) {
  return JSON.stringify(text);
}

function list(numbers) {
  return numbers.length === 1 ? String(numbers[0]) : `[${numbers.join(", ")}]`;
}

function server() {
  const { host, pathname, protocol } = new URL(address("."));
  return { url: host + pathname.replace(/\/$/, ""), tls: protocol === "https:" };
}

function clientLines() {
  const { url, tls } = server();
  return `client = httpclient.InferenceServerClient(${literal(url)}${tls ? ", ssl=True" : ""})`;
}

const TOKEN_LINE = 'headers = {"Authorization": "Bearer " + os.environ["TOKEN"]}';

function imports(names) {
  return [...(hasToken() ? ["import os", ""] : []), ...names].join("\n") + "\n";
}

// [[title, text]] of a request in JSON.
export function jsonPrograms(path, name, text) {
  const url = address(path + "/infer");
  const curl = ["curl -sS " + shell(url), "-H 'Content-Type: application/json'", ...(hasToken() ? ['-H "Authorization: Bearer $TOKEN"'] : []),
    "--data-binary " + shell(text)].join(" \\\n  ");
  const headers = hasToken() ? ", headers=headers" : "";
  const token = hasToken() ? TOKEN_LINE + "\n" : "";
  const triton = `${imports(["import numpy as np", "import tritonclient.http as httpclient", "from tritonclient.utils import triton_to_np_dtype"])}
request = ${python(text)}
${token}inputs = []
for tensor in request["inputs"]:
    array = np.array(tensor["data"], triton_to_np_dtype(tensor["datatype"])).reshape(tensor["shape"])
    inputs.append(httpclient.InferInput(tensor["name"], tensor["shape"], tensor["datatype"]))
    inputs[-1].set_data_from_numpy(array)
outputs = [
    httpclient.InferRequestedOutput(output["name"], class_count=output.get("parameters", {}).get("classification", 0))
    for output in request.get("outputs", [])
]
${clientLines()}
result = client.infer(${literal(name)}, inputs, outputs=outputs or None${headers})
for output in result.get_response()["outputs"]:
    print(output["name"], result.as_numpy(output["name"]))`;
  const httpx = `${imports(["import httpx"])}
request = ${python(text)}
${token}response = httpx.post(${literal(url)}, json=request${headers}, timeout=60)
response.raise_for_status()
print(response.json())`;
  return [["curl", curl], ["Python, tritonclient", triton], ["Python, httpx", httpx]];
}

// The same of a picture, whose part `box` is what the model gets.
export function picturePrograms(path, name, file, form, box, request) {
  const url = address(path + "/infer");
  const curl = ["# request.bin is what “Save the request” saves", "curl -sS " + shell(url),
    `-H 'Inference-Header-Content-Length: ${request.headers["Inference-Header-Content-Length"]}'`,
    ...(hasToken() ? ['-H "Authorization: Bearer $TOKEN"'] : []), "--data-binary @request.bin"];
  const headers = hasToken() ? ", headers=headers" : "";
  const token = hasToken() ? TOKEN_LINE + "\n" : "";
  const classes = request.document.outputs?.[0];
  const wanted = classes
    ? `[httpclient.InferRequestedOutput(${literal(classes.name)}, class_count=${classes.parameters.classification})]` : "None";
  const input = form.kind === "bytes" ? bytesLines(file) : pixelLines(file, form, box);
  const needs = form.kind === "bytes" ? [] : ["from PIL import Image, ImageOps"];
  const triton = `${imports(["import numpy as np", "import tritonclient.http as httpclient", ...needs])}
${input}
array = array.reshape(${JSON.stringify(form.shape).replaceAll(",", ", ")})

${token}${clientLines()}
tensor = httpclient.InferInput(${literal(form.input)}, list(array.shape), ${literal(form.datatype)})
tensor.set_data_from_numpy(array)
result = client.infer(${literal(name)}, [tensor], outputs=${wanted}${headers})
for output in result.get_response()["outputs"]:
    print(output["name"], result.as_numpy(output["name"]))`;
  const data = form.kind === "bytes" ? 'len(array[0]).to_bytes(4, "little") + array[0]' : "array.tobytes()";
  const httpx = `${imports(["import json", "", "import httpx", "import numpy as np", ...needs])}
${input}
data = ${data}
header = json.dumps({
    "inputs": [
        {
            "name": ${literal(form.input)},
            "shape": ${JSON.stringify(form.shape).replaceAll(",", ", ")},
            "datatype": ${literal(form.datatype)},
            "parameters": {"binary_data_size": len(data)},
        }
    ],${classes ? `\n    "outputs": ${python(JSON.stringify([classes]))},` : ""}
}).encode()
headers = {"Inference-Header-Content-Length": str(len(header))}
${hasToken() ? 'headers["Authorization"] = "Bearer " + os.environ["TOKEN"]\n' : ""}response = httpx.post(${literal(url)}, content=header + data, headers=headers, timeout=60)
response.raise_for_status()
print(response.json())`;
  const [comment, first, ...rest] = curl;
  return [["curl", comment + "\n" + [first, ...rest].join(" \\\n  ")], ["Python, tritonclient", triton], ["Python, httpx", httpx]];
}

function bytesLines(file) {
  return `with open(${literal(file)}, "rb") as file:\n    array = np.array([file.read()], np.object_)`;
}

function pixelLines(file, form, box) {
  const dtype = { FP16: "float16", FP32: "float32", FP64: "float64" }[form.datatype] ?? form.datatype.toLowerCase();
  const work = form.datatype === "FP64" ? "float64" : "float32";
  const { numerator, denominator, mean, std } = form.scaling;
  const steps = [
    denominator !== 1 && `array = array / np.${work}(${denominator})`,
    numerator !== 1 && `array = array * np.${work}(${numerator})`,
    mean && `array = array - np.array(${list(mean)}, np.${work})`,
    std && `array = array / np.array(${list(std)}, np.${work})`,
    form.layout === "NCHW" && "array = array.transpose(2, 0, 1)",
  ];
  const size = `(${form.width}, ${form.height})`;
  const colours = form.bgr ? "[:, :, ::-1]" : "";
  return [
    `picture = ImageOps.exif_transpose(Image.open(${literal(file)})).convert(${form.channels === 1 ? '"L"' : '"RGB"'})`,
    `picture = picture.resize(${size}, Image.Resampling.BILINEAR, box=(${box.join(", ")}))`,
    `array = np.asarray(picture, np.${work}).reshape(${form.height}, ${form.width}, ${form.channels})${colours}`,
    ...steps.filter(Boolean),
    `array = np.ascontiguousarray(array, np.${dtype})`,
  ].join("\n");
}

export function showPrograms(place, programs, more = []) {
  const open = new Set([...place.querySelectorAll("details[open]")].map((one) => one.dataset.title));
  place.replaceChildren(...more, ...programs.map(([title, text], number) => {
    const code = element("pre", { tabIndex: 0 }, text);
    code.setAttribute("aria-label", title);
    const program = element("details", { className: "program", open: open.size ? open.has(title) : !number },
      element("summary", {}, title), code);
    program.dataset.title = title;
    if (navigator.clipboard) program.append(copyButton(title, text));
    return program;
  }));
}

function copyButton(title, text) {
  const button = element("button", { type: "button" }, "Copy");
  button.setAttribute("aria-label", "Copy " + title);
  button.addEventListener("click", async () => {
    button.textContent = await navigator.clipboard.writeText(text).then(() => "Copied", () => "Cannot copy");
  });
  return button;
}
