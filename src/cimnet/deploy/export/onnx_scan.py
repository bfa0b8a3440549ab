"""The selective scan of :mod:`cimnet.ops.selective_scan` in ONNX: a function of operators that every runtime has.

``Scan`` walks over blocks of steps, not single ones: inside a block, decays and inputs are computed at once and the
result is read out at once; only the recurrence between them is written out step by step. The length of the sequence
stays free; what the last block lacks is filled with steps of size zero, which change nothing. ``A`` goes through the
blocks as a second state, because OpenVINO's ``Scan`` sees nothing from outside.
"""

from __future__ import annotations

from typing import Any

from cimnet.errors import ConfigError

DOMAIN, NAME = "cimnet", "SelectiveScan"
OLDEST_OPSET = 18
BLOCK = 16
"""Steps of a block. Each is two nodes, so a larger block makes a larger file; a smaller one has more overhead."""

FUNCTION = """
<opset_import: ["" : {opset}], domain: "{domain}">
{name} (u, delta, A, B, C, D, delta_bias) => (y)
{{
    raw = Add (delta, delta_bias)
    step = Softplus (raw)
    input = Mul (step, u)
    length = Shape <end = 1> (u)
    block = Constant <value_ints = [{block}]> ()
    most_missing = Constant <value_ints = [{most_missing}]> ()
    enough = Add (length, most_missing)
    number = Div (enough, block)
    filled = Mul (number, block)
    missing = Sub (filled, length)
    zero = Constant <value_ints = [0]> ()
    before = Constant <value_ints = [0, 0, 0, 0]> ()
    after = Constant <value_ints = [0, 0, 0]> ()
    pads = Concat <axis = 0> (before, missing, after)
    free = Constant <value_ints = [-1]> ()
    rest = Shape <start = 1> (u)
    rest_of_B = Shape <start = 1> (B)
    blocks = Concat <axis = 0> (free, block, rest)
    blocks_of_B = Concat <axis = 0> (free, block, rest_of_B)
    step_padded = Pad (step, pads)
    input_padded = Pad (input, pads)
    B_padded = Pad (B, pads)
    C_padded = Pad (C, pads)
    step_blocks = Reshape (step_padded, blocks)
    input_blocks = Reshape (input_padded, blocks)
    B_blocks = Reshape (B_padded, blocks_of_B)
    C_blocks = Reshape (C_padded, blocks_of_B)
    batch = Shape <start = 1, end = 2> (u)
    of_state = Shape (A)
    state_shape = Concat <axis = 0> (batch, of_state)
    nothing = ConstantOfShape <value = float[1] {{0.0}}> (state_shape)
    last, unchanged, read = Scan <num_scan_inputs = 4, body = {body}>
        (nothing, A, step_blocks, input_blocks, B_blocks, C_blocks)
    whole = Concat <axis = 0> (free, rest)
    joined = Reshape (read, whole)
    scanned = Slice (joined, zero, length, zero)
    past = Mul (u, D)
    y = Add (scanned, past)
}}
"""

BODY = """
advance (float[n, g, s, r] state, float[g, s, r] rate, float[{block}, n, g, r] step, float[{block}, n, g, r] input,
         float[{block}, n, g, s] B_now, float[{block}, n, g, s] C_now)
    => (float[n, g, s, r] following, float[g, s, r] rate_again, float[{block}, n, g, r] read_now)
{{
    first_axis = Constant <value_ints = [0]> ()
    state_axis = Constant <value_ints = [3]> ()
    row_axis = Constant <value_ints = [4]> ()
    step_by_state = Unsqueeze (step, state_axis)
    exponent = Mul (step_by_state, rate)
    decay = Exp (exponent)
    input_by_state = Unsqueeze (input, state_axis)
    B_by_row = Unsqueeze (B_now, row_axis)
    inside = Mul (input_by_state, B_by_row)
    {decays} = Split <axis = 0, num_outputs = {block}> (decay)
    {insides} = Split <axis = 0, num_outputs = {block}> (inside)
    state_0 = Unsqueeze (state, first_axis)
    {recurrence}
    states = Concat <axis = 0> ({states})
    C_by_state = Unsqueeze (C_now, state_axis)
    product = MatMul (C_by_state, states)
    read_now = Squeeze (product, state_axis)
    following = Squeeze (state_{block}, first_axis)
    rate_again = Identity (rate)
}}
"""


def write_scans(model: Any, opset: int) -> Any:
    """Replace the operator `DOMAIN`::`NAME` in an ``onnx.ModelProto`` by what it stands for.

    Raises:
        ConfigError: the opset is too old for it.
    """
    from onnx import inliner, parser

    if not any(node.domain == DOMAIN for node in model.graph.node):
        return model
    if opset < OLDEST_OPSET:
        raise ConfigError(
            f"opset {opset} cannot write this model's selective scan; choose --opset {OLDEST_OPSET} or more"
        )
    steps = range(1, BLOCK + 1)
    recurrence = "\n    ".join(
        f"kept_{n} = Mul (decay_{n}, state_{n - 1})\n    state_{n} = Add (kept_{n}, inside_{n})" for n in steps
    )
    decays, insides, states = (", ".join(f"{name}_{n}" for n in steps) for name in ("decay", "inside", "state"))
    body = BODY.format(block=BLOCK, decays=decays, insides=insides, states=states, recurrence=recurrence)
    text = FUNCTION.format(opset=opset, domain=DOMAIN, name=NAME, block=BLOCK, most_missing=BLOCK - 1, body=body)
    model.functions.append(parser.parse_function(text))
    written = inliner.inline_local_functions(model)
    plain = [entry for entry in written.opset_import if entry.domain != DOMAIN]
    del written.opset_import[:]
    written.opset_import.extend(plain)
    return written
