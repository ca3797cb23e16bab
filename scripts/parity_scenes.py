"""What is done to PEFT models in record-scenes.py: (name, base model, steps). A step is an operation and its arguments."""
QV = ["q_proj", "v_proj"]


# What a config is when a step does not say otherwise.
DEFAULTS = {"DELORA": {"r": 2, "delora_lambda": 3, "target_modules": QV, "task_type": "CAUSAL_LM"},
            "LORA": {"r": 3, "lora_alpha": 6, "target_modules": QV, "task_type": "CAUSAL_LM"}}


def delora(**fields):
    return ["DELORA", fields]


def lora(**fields):
    return ["LORA", fields]


WRAP = ["wrap", *delora(), "default"]
ADD = ["add", "b", *delora(r=1, target_modules=["v_proj", "up_proj"])]
SAVED = [WRAP, ["save", "a"]]
WITH_HEAD = ["wrap", *delora(modules_to_save=["lm_head"]), "default"]
PAIR = [WRAP, ADD]

ADDING = [
    ("add: one more", "plain", [WRAP, ["forward"], ADD, ["forward"], ["set", "b"], ["forward"], ["set", "default"], ["forward"]]),
    ("add: a name that is taken", "plain", [WRAP, ["add", "default", *delora(r=1)], ["forward"]]),
    ("add: another method", "plain", [WRAP, ["add", "b", *lora()], ["forward"]]),
    ("add: a second with bias", "biased", [["wrap", *delora(bias="all"), "default"], ["add", "b", *delora(bias="delora_only")], ["add", "c", *delora()]]),
    ("add: bias to one without", "biased", [WRAP, ["add", "b", *delora(bias="all")], ["set", "b"]]),
    ("add: targets that do not match", "plain", [WRAP, ["add", "b", *delora(target_modules=["query"])], ["forward"], ["add", "b", *delora()]]),
    ("add: several ranks and targets", "plain", [WRAP, ["add", "b", *delora(r=5, target_modules=["o_proj"])], ["add", "c", *delora(r=1, target_modules=".*down_proj")],
                                              ["set", ["default", "b", "c"]], ["forward"], ["status"]]),
    ("add: while another is merged", "plain", [WRAP, ["merge"], ["forward"], ADD, ["set", "b"], ["forward"], ["status"]]),
    ("add: for inference only", "plain", [WRAP, ["add", "b", *delora(inference_mode=True)], ["set", "b"]]),
    ("add: LoRA to LoRA", "plain", [["wrap", *lora(), "default"], ["add", "b", *lora(r=1, use_dora=True)], ["set", ["default", "b"]], ["forward"], ["merge"], ["forward"]]),
    ("add: a DoRA beside a DoRA", "plain", [["wrap", *lora(use_dora=True), "default"], ["add", "b", *lora(r=1, use_dora=True)], ["set", ["default", "b"]], ["forward"], ["merge"], ["forward"]]),
    ("name: inside the prefix", "plain", [["wrap", *delora(), "del"], ["forward"]]),
    ("name: inside LoRA's prefix", "plain", [["wrap", *lora(), "or"], ["forward"]]),
    ("name: inside the prefix, added", "plain", [WRAP, ["add", "a", *delora()]]),
    ("name: with a dot", "plain", [["wrap", *delora(), "v1.0"]]),
    ("name: with a dot, added", "plain", [WRAP, ["add", "v1.0", *delora()], ["forward"]]),
    ("wrap: for inference only", "plain", [["wrap", *delora(inference_mode=True), "default"], ["set", "default"]]),
    ("wrap: a wrapped model", "plain", [WRAP, ["forward"], ["rewrap", *delora(r=1, target_modules=["v_proj"]), "default"], ["forward"], ["status"]]),
    ("wrap: a wrapped model, another name", "plain", [WRAP, ["rewrap", *delora(r=1), "b"], ["forward"], ["status"]]),
    ("wrap: a name of the base that differs", "plain", [["wrap", *delora(base_model_name_or_path="other/base"), "default"]]),
    ("wrap: rank_pattern that matches nothing", "plain", [["wrap", *delora(rank_pattern={"nothing": 3}), "default"]]),
    ("wrap: lambda_pattern that matches nothing", "plain", [["wrap", *delora(lambda_pattern={"nothing": 3}), "default"]]),
    ("wrap: alpha_pattern that matches nothing", "plain", [["wrap", *lora(alpha_pattern={"nothing": 3}), "default"]]),
    ("tied: the head", "tied", [["wrap", *delora(target_modules=["q_proj", "lm_head"]), "default"], ["forward"], ["print"], ["merge"], ["forward"], ["unmerge"], ["forward"]]),
    ("tied: the head saved", "tied", [["wrap", *delora(modules_to_save=["lm_head"]), "default"], ["forward"], ["print"], ["save", "a"], ["tensors", "a"]]),
    ("tied: all linears", "tied", [["wrap", *delora(target_modules="all-linear"), "default"], ["print"]]),
    ("target: a module that is no Linear", "plain", [["wrap", *delora(target_modules=["embed_tokens"]), "default"], ["wrap", *delora(target_modules=["mlp"]), "default"]]),
    ("bias: all", "biased", [["wrap", *delora(bias="all"), "default"], ["forward"], ["print"]]),
    ("bias: delora_only", "biased", [["wrap", *delora(bias="delora_only"), "default"], ["forward"], ["print"]]),
    ("bias: lora_only", "biased", [["wrap", *lora(bias="lora_only"), "default"], ["print"]]),
    ("bias: of another method", "biased", [["wrap", *delora(bias="lora_only"), "default"]]),
    ("bias: foo_only", "biased", [["wrap", *delora(bias="foo_only"), "default"]]),
    ("bias: x", "biased", [["wrap", *delora(bias="x"), "default"]]),
    ("bias: none of them", "plain", [["wrap", *delora(bias="all"), "default"], ["print"]]),
]
ACTIVE = [
    ("set: unknown", "plain", [WRAP, ["set", "c"], ["forward"]]),
    ("set: unknown in a list", "plain", [WRAP, ["set", ["default", "c"]], ["forward"]]),
    ("set: for inference", "plain", [*PAIR, ["set", "b", {"inference_mode": True}], ["set", "default"]]),
    ("set: several", "plain", [*PAIR, ["set", ["default", "b"]], ["forward"], ["status"], ["set", ["b", "default"]], ["forward"]]),
    ("set: none", "plain", [*PAIR, ["set", []], ["forward"]]),
    ("set: while merged", "plain", [*PAIR, ["merge"], ["forward"], ["set", "b"], ["forward"], ["status"]]),
    ("set: two with a saved module", "plain", [WITH_HEAD, ["add", "b", *delora(modules_to_save=["lm_head"])], ["set", "b"], ["forward"], ["set", ["default", "b"]]]),
    ("set: one saved module of two", "plain", [WITH_HEAD, ["add", "b", *delora(r=1)], ["set", "b"], ["forward"], ["set", ["default", "b"]], ["forward"], ["status"]]),
    ("delete: unknown", "plain", [WRAP, ["delete", "c"]]),
    ("delete: an inactive one", "plain", [*PAIR, ["delete", "b"], ["forward"], ["set", "b"]]),
    ("delete: the active one", "plain", [*PAIR, ["add", "a2", *delora()], ["set", "b"], ["delete", "b"], ["forward"]]),
    ("delete: one of several active", "plain", [*PAIR, ["set", ["default", "b"]], ["delete", "b"], ["forward"]]),
    ("delete: all", "plain", [*PAIR, ["delete", "default"], ["forward"], ["delete", "b"], ["forward"], ["status"]]),
    ("delete: while merged", "plain", [*PAIR, ["set", "b"], ["merge"], ["delete", "b"], ["forward"], ["delete", "default"], ["unmerge"], ["delete", "b"], ["forward"]]),
    ("delete: with a saved module", "plain", [WITH_HEAD, ["add", "b", *delora()], ["delete", "default"], ["forward"], ["status"]]),
    ("delete: then add again", "plain", [*PAIR, ["delete", "b"], ADD, ["set", "b"], ["forward"]]),
    ("disable: plainly", "plain", [WRAP, ["forward"], ["disable", [["forward"]]], ["forward"]]),
    ("disable: nested", "plain", [WRAP, ["disable", [["disable", [["forward"]]], ["forward"]]], ["forward"]]),
    ("disable: several active", "plain", [*PAIR, ["set", ["default", "b"]], ["disable", [["forward"], ["status"]]], ["forward"]]),
    ("disable: with bias", "biased", [["wrap", *delora(bias="all"), "default"], ["disable", [["forward"]]], ["forward"]]),
    ("disable: with bias of the adapted", "biased", [["wrap", *lora(bias="lora_only"), "default"], ["disable", [["forward"]]]]),
    ("disable: with a saved module", "plain", [WITH_HEAD, ["disable", [["forward"]]], ["forward"]]),
    ("disable: a frozen adapter", "plain", [["wrap", *delora(inference_mode=True), "default"], ["disable", [["forward"]]], ["forward"]]),
    ("disable: a merged adapter", "plain", [WRAP, ["merge"], ["disable", [["forward"]]], ["forward"], ["status"]]),
    ("disable: a merged adapter, nothing run", "plain", [WRAP, ["merge"], ["disable", []], ["forward"]]),
    ("requires_grad: on and off", "plain", [*PAIR, ["requires_grad", "b", True], ["requires_grad", "default", False], ["requires_grad", ["default", "b"], True],
                                          ["requires_grad", ["b"], False], ["status"]]),
    ("requires_grad: unknown", "plain", [WRAP, ["requires_grad", "c", True]]),
    ("requires_grad: a saved module", "plain", [WITH_HEAD, ["requires_grad", "default", False], ["requires_grad", "default", True]]),
    ("status: of one", "plain", [WRAP, ["status"], ["layers"]]),
    ("status: of two", "plain", [*PAIR, ["status"], ["layers"], ["set", ["default", "b"]], ["merge", {"adapter_names": ["b"]}], ["status"], ["layers"]]),
    ("status: frozen in part", "plain", [WRAP, ["freeze", "layers.0.self_attn.q_proj.delora_A"], ["status"], ["layers"]]),
    ("status: with a saved module", "plain", [WITH_HEAD, ["status"], ["layers"]]),
    ("status: of LoRA and DoRA", "plain", [["wrap", *lora(use_dora=True), "default"], ["status"], ["layers"]]),
    ("adapter_names: in forward", "plain", [*PAIR, ["forward", {"adapter_names": ["b"]}], ["forward", {"adapter_names": ["__base__"]}]]),
]
MERGING = [
    ("merge: and back", "plain", [WRAP, ["forward"], ["merge"], ["forward"], ["unmerge"], ["forward"]]),
    ("merge: twice", "plain", [WRAP, ["merge"], ["merge"], ["forward"]]),
    ("merge: one more", "plain", [*PAIR, ["merge", {"adapter_names": ["default"]}], ["merge", {"adapter_names": ["b"]}], ["forward"], ["status"], ["unmerge"], ["forward"]]),
    ("merge: one more of two named", "plain", [*PAIR, ["merge"], ["merge", {"adapter_names": ["default", "b"]}], ["forward"]]),
    ("merge: a name that is text", "plain", [*PAIR, ["merge", {"adapter_names": "b"}], ["forward"]]),
    ("merge: an unknown name", "plain", [WRAP, ["merge", {"adapter_names": ["c"]}], ["forward"], ["status"]]),
    ("merge: no names", "plain", [WRAP, ["merge", {"adapter_names": []}], ["forward"], ["status"]]),
    ("merge: several active", "plain", [*PAIR, ["set", ["default", "b"]], ["merge"], ["forward"], ["unmerge"], ["forward"]]),
    ("merge: an inactive one", "plain", [*PAIR, ["merge", {"adapter_names": ["b"]}], ["forward"], ["unmerge"], ["forward"]]),
    ("merge: safely", "plain", [WRAP, ["merge", {"safe_merge": True}], ["forward"], ["unmerge"], ["forward"]]),
    ("merge: NaN safely", "plain", [WRAP, ["break", "default", "nan"], ["merge", {"safe_merge": True}], ["forward"], ["status"]]),
    ("merge: infinity safely", "plain", [WRAP, ["break", "default", "inf"], ["merge", {"safe_merge": True}], ["status"]]),
    ("merge: NaN in the second, safely", "plain", [*PAIR, ["break", "b", "nan"], ["merge", {"adapter_names": ["default", "b"], "safe_merge": True}], ["status"]]),
    ("merge: LoRA's NaN safely", "plain", [["wrap", *lora(), "default"], ["break", "default", "nan"], ["merge", {"safe_merge": True}], ["status"]]),
    ("merge: trained or not", "plain", [WRAP, ["merge"], ["trainable"], ["unmerge"], ["trainable"]]),
    ("unmerge: nothing", "plain", [WRAP, ["unmerge"], ["forward"]]),
    ("merge_and_unload: plainly", "plain", [WRAP, ["merge_and_unload"], ["forward"], ["keys"]]),
    ("merge_and_unload: safely", "plain", [WRAP, ["merge_and_unload", {"safe_merge": True}], ["forward"]]),
    ("merge_and_unload: by name", "plain", [*PAIR, ["merge_and_unload", {"adapter_names": ["b"]}], ["forward"]]),
    ("merge_and_unload: of two", "plain", [*PAIR, ["merge_and_unload", {"adapter_names": ["default", "b"]}], ["forward"]]),
    ("merge_and_unload: a saved module", "plain", [WITH_HEAD, ["merge_and_unload"], ["forward"], ["keys"]]),
    ("merge_and_unload: with bias", "biased", [["wrap", *delora(bias="all"), "default"], ["merge_and_unload"], ["forward"]]),
    ("merge_and_unload: what is merged", "plain", [WRAP, ["merge"], ["merge_and_unload"], ["forward"]]),
    ("merge_and_unload: NaN safely", "plain", [WRAP, ["break", "default", "nan"], ["merge_and_unload", {"safe_merge": True}]]),
    ("merge_and_unload: tied head", "tied", [["wrap", *delora(target_modules=["lm_head"]), "default"], ["merge_and_unload"], ["forward"], ["keys"]]),
    ("merge_and_unload: DoRA", "biased", [["wrap", *lora(use_dora=True), "default"], ["forward"], ["merge_and_unload"], ["forward"]]),
    ("unload: plainly", "plain", [WRAP, ["unload"], ["forward"], ["keys"]]),
    ("unload: what is merged", "plain", [WRAP, ["merge"], ["unload"], ["forward"]]),
    ("unload: a saved module", "plain", [WITH_HEAD, ["unload"], ["forward"]]),
    ("delta: of an unknown adapter", "plain", [WRAP, ["delta", "layers.0.self_attn.q_proj", "c"]]),
    ("delta: while merged", "plain", [WRAP, ["delta", "layers.0.self_attn.q_proj", "default"], ["merge"], ["delta", "layers.0.self_attn.q_proj", "default"]]),
]
