"""Completes a configuration that has a part of it, and says that it is decoupled."""

import json

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    @staticmethod
    def auto_complete_config(config):
        config.add_input({"name": "COUNT", "data_type": "TYPE_INT32", "dims": [1]})
        config.add_output({"name": "JSON", "data_type": "TYPE_STRING", "dims": [1]})
        config.set_max_batch_size(0)
        config.set_model_transaction_policy({"decoupled": True})
        return config

    def initialize(self, args):
        config = json.loads(args["model_config"])
        entry = pb_utils.get_output_config_by_name(config, "JSON")
        self.told = {
            "greeting": config["parameters"]["greeting"]["string_value"],
            "decoupled": pb_utils.using_decoupled_model_transaction_policy(config),
            "input": pb_utils.get_input_config_by_name(config, "COUNT")["dims"],
            "nobody": pb_utils.get_input_config_by_name(config, "NOBODY"),
            "type": np.dtype(pb_utils.triton_string_to_numpy(entry["data_type"])).name,
        }

    def execute(self, requests):
        for request in requests:
            sender = request.get_response_sender()
            for index in range(int(pb_utils.get_input_tensor_by_name(request, "COUNT").as_numpy()[0])):
                text = json.dumps({"index": index, **self.told})
                sender.send(pb_utils.InferenceResponse([pb_utils.Tensor("JSON", np.array([text], np.object_))]))
            sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
