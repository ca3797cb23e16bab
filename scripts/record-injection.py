"""Records which modules PEFT adapts, with rank and strength, for test/delora/injection.test.ts.

usage: python scripts/record-injection.py > test/goldens/injection.json

Needs torch, transformers and peft (../shared/tools/oracle-venv.sh builds them). Every case is a config on a small random Llama;
the answer is either the adapted modules with [r, lambda or alpha], the resolved target_modules and the warnings, or the error's text.
"""
import json
import os
import warnings

os.environ["HF_HUB_OFFLINE"] = "1"
import peft
from peft import DeloraConfig, LoraConfig, get_peft_model
from peft.tuners.tuners_utils import BaseTunerLayer
from transformers import LlamaConfig, LlamaForCausalLM

QV = ["q_proj", "v_proj"]
TWENTY = [f"model.layers.{i}.{m}" for i in range(3) for m in
          ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
           "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"] if (i, m) != (2, "mlp.up_proj")]
DELORA = [
    (2, {}),
    (3, {"target_modules": "all-linear"}),
    (2, {"target_modules": "ALL-Linear"}),
    (2, {"target_modules": "all-linear", "exclude_modules": ["mlp", "o_proj"]}),
    (2, {"target_modules": "all-linear", "exclude_modules": r".*mlp.*"}),
    (2, {"target_modules": ["proj", "q_proj"]}),
    (2, {"target_modules": ["self_attn.k_proj", "lm_head"]}),
    (2, {"target_modules": "q_proj"}),
    (2, {"target_modules": r".*\.q_proj"}),
    (3, {"target_modules": r".*\.[02]\.(self_attn\.(q|v)|mlp\.down)_proj"}),
    (2, {"target_modules": ".*nothing"}),
    (2, {"target_modules": ["query"]}),
    (2, {"target_modules": []}),
    (2, {"target_modules": ""}),
    (2, {"target_modules": [], "exclude_modules": ["q_proj"]}),
    (2, {"target_modules": ["query"], "exclude_modules": ["q_proj"]}),
    (2, {"target_modules": ["query"], "exclude_modules": ["q_proj"], "layers_to_transform": [0],
         "layers_pattern": ["layers"]}),
    (2, {"target_modules": ["q_proj"], "exclude_modules": r".*"}),
    (2, {"target_modules": QV, "exclude_modules": ["nowhere"]}),
    (2, {"target_modules": QV, "exclude_modules": "q_proj"}),
    (2, {"target_modules": QV, "exclude_modules": ["layers.0.self_attn.q_proj"]}),
    (2, {"target_modules": QV, "exclude_modules": []}),
    (3, {"target_modules": QV, "layers_to_transform": 1}),
    (3, {"target_modules": QV, "layers_to_transform": 0, "layers_pattern": "layers"}),
    (3, {"target_modules": QV, "layers_to_transform": [0, 2]}),
    (3, {"target_modules": QV, "layers_to_transform": []}),
    (3, {"target_modules": QV, "layers_to_transform": [1], "layers_pattern": ["blocks", "layers"]}),
    (3, {"target_modules": QV, "layers_to_transform": [1], "layers_pattern": "l.*s"}),
    (3, {"target_modules": QV, "layers_to_transform": [1], "layers_pattern": []}),
    (3, {"target_modules": QV, "layers_to_transform": [1], "layers_pattern": ["blocks"]}),
    (3, {"target_modules": QV, "layers_to_transform": 7}),
    (3, {"target_modules": ["q_proj", "lm_head"], "layers_to_transform": [1]}),
    (3, {"target_modules": ["model.layers.0.self_attn.q_proj", "v_proj"], "layers_to_transform": [1]}),
    (3, {"target_modules": None, "layers_to_transform": [2]}),
    (3, {"target_modules": TWENTY}),
    (3, {"target_modules": TWENTY[:19]}),
    (3, {"target_modules": TWENTY, "layers_to_transform": [1]}),
    (2, {"target_modules": ["self_attn"]}),
    (2, {"target_modules": "all-linear", "layers_to_transform": [0]}),
    (2, {"target_modules": QV, "layers_pattern": "layers"}),
    (2, {"target_modules": QV, "layers_pattern": []}),
    (2, {"target_modules": ["q_proj"], "layers_pattern": ["layers"], "r": 0}),
    (2, {"r": 0}),
    (2, {"rank_pattern": {"q_proj": 2, "layers.1.self_attn.q_proj": 3}}),
    (2, {"rank_pattern": {"layers.1.self_attn.q_proj": 3, "q_proj": 2}, "lambda_pattern": {"v_proj": 2.5}}),
    (2, {"rank_pattern": {"proj": 2, "layers.0": 3, "^q_proj": 4}}),
    (2, {"rank_pattern": {".*proj": 2}, "lambda_pattern": {"^model.layers.0.*": -1, "self_attn.(q|v)_proj": 9}}),
    (2, {"rank_pattern": {"q|v": 2, "q_proj|v_proj": 5}}),
    (2, {"rank_pattern": {"self_attn": 2}, "lambda_pattern": {"0.self_attn.q_proj": 0}}),
    (2, {"rank_pattern": {"q_proj": 0}}),
    (2, {"rank_pattern": {"q_proj": -2}}),
    (2, {"rank_pattern": {"k_proj": 0}}),
    (2, {"target_modules": "all-linear", "rank_pattern": {r".*\.(\d+)\.mlp\..*": 1}, "lambda_pattern": {"down_proj": 3}}),
]
LORA = [
    (2, {}),
    (3, {"target_modules": "all-linear"}),
    (2, {"target_modules": r".*mlp\.(up|down)_proj", "rank_pattern": {"up_proj": 2}, "alpha_pattern": {"down_proj": 32}}),
    (2, {"alpha_pattern": {"layers.0.self_attn.q_proj": 4, "q_proj": 2}, "rank_pattern": {"q_proj": 4}, "use_rslora": True}),
    (3, {"target_modules": QV, "layers_to_transform": [0], "exclude_modules": ["v_proj"]}),
    (2, {"target_modules": "all-linear", "layers_pattern": "layers"}),
    (2, {"target_modules": "all-linear", "layers_to_transform": [1]}),
    (2, {"target_modules": QV, "layers_pattern": ["layers"]}),
    (2, {"alpha_pattern": {"k_proj": 4}}),
    (2, {"rank_pattern": {"q_proj": 0}}),
]


def answer(kind, layers, fields):
    config = LlamaConfig(vocab_size=32, hidden_size=16, intermediate_size=24, num_hidden_layers=layers,
                         num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=False)
    base = LlamaForCausalLM(config)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            model = get_peft_model(base, {"DELORA": DeloraConfig, "LORA": LoraConfig}[kind](**fields))
        except Exception as error:
            return {"error": str(error), "type": type(error).__name__}
    adapted = {}
    for name, module in model.base_model.model.named_modules():
        if not isinstance(module, BaseTunerLayer):
            continue
        strength = module.delora_lambda["default"].item() if kind == "DELORA" else module.scaling["default"]
        adapted[name] = [module.r["default"], strength]
    targets = model.peft_config["default"].target_modules
    return {"adapted": adapted, "target_modules": targets if isinstance(targets, str) else sorted(targets),
            "warnings": [str(w.message) for w in caught]}


cases = [(kind, *case) for kind, table in (("DELORA", DELORA), ("LORA", LORA)) for case in table]
rows = [json.dumps({"type": kind, "layers": layers, "config": fields, "answer": answer(kind, layers, fields)})
        for kind, layers, fields in cases]
print("{\n" + f'"peft": "{peft.__version__}",\n"cases": [\n' + ",\n".join(rows) + "\n]\n}")
