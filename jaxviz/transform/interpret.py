"""One walk over a jaxpr, shared by the transformations.

A transformation says what it does with single equations (`Rules`); `interpret` walks the program,
keeps the values, and goes into the calls (jit, custom_jvp, custom_vjp, remat, scan, cond, while)
where a rule may lie inside, re-calling the public function that made the call. What no rule
concerns is evaluated as it stands.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
from jax.extend import core
from jax.extend.core import primitives

__all__ = ["Found", "Rules", "called", "calls_any", "evaluate", "interpret", "trace"]


class Found(OrderedDict[str, Any]):
    """Values by layer name, in the order of evaluation.

    Attributes:
      taken: the names met before the program began, in the programs around it.
    """

    def __init__(self, taken: frozenset[str] = frozenset()):
        super().__init__()
        self.taken = taken

    def numbered(self, name: str) -> str:
        """The name itself the first time, then `name_1`, `name_2`, ..., as torch.fx counts."""
        candidate, count = name, 0
        while candidate in self or candidate in self.taken:
            count += 1
            candidate = f"{name}_{count}"
        return candidate


class Rules(NamedTuple):
    """What a transformation does with the equations of a program.

    A *value* is whatever the transformation carries in place of an array: the array itself, or a
    pytree of arrays whose static part says something about it.

    Attributes:
      rule: `rule(equation, inputs, found)` gives the outputs of an equation, or None where the
        transformation has nothing to say about it. It may put values by name into `found`.
      enters: whether a rule may lie inside this program, the body of a call.
      otherwise: the outputs of an equation (not a call) that has no rule.
      constant: the value of an array that the program closes over.
      settle: a value as it must look where control flow joins, so that all ways give the same kind.
      resume: a settled value as the program goes on with it.
      array: the array that a settled value stands for.
    """

    rule: Callable[[core.JaxprEqn, Sequence[Any], Found], Sequence[Any] | None]
    enters: Callable[[core.Jaxpr], bool]
    otherwise: Callable[[core.JaxprEqn, Sequence[Any]], Sequence[Any]] = lambda equation, inputs: (
        evaluate(equation, *inputs)
    )
    constant: Callable[[Any], Any] = lambda array: array
    settle: Callable[[Any], Any] = lambda value: value
    resume: Callable[[Any], Any] = lambda value: value
    array: Callable[[Any], Any] = lambda value: value


def trace(f: Callable, *args: Any) -> tuple[core.ClosedJaxpr, Any]:
    """The program of `f` at `args`, and the structure of what it returns.

    Args:
      f: any function of pytrees of arrays.
      *args: arrays, or `jax.ShapeDtypeStruct` in their place.

    Returns:
      `(program, structure)`: `structure` is the treedef of the result.
    """
    # A new function each time: what `f` closes over may be tracers of a trace that has ended.
    program, shapes = jax.make_jaxpr(lambda *args: f(*args), return_shape=True)(*args)
    return program, jax.tree.structure(shapes)


def opened(program: Any) -> tuple[core.Jaxpr, Sequence[Any]]:
    """The equations and the constants of a program, closed or not."""
    return getattr(program, "jaxpr", program), getattr(program, "consts", ())


def called(equation: core.JaxprEqn) -> Any | None:
    """The program of a call that runs it once (jit, remat, a custom derivative), or None."""
    if equation.primitive not in _RUN_ONCE:
        return None
    return equation.params["jaxpr" if "jaxpr" in equation.params else "call_jaxpr"]


_RUN_ONCE = {
    primitives.jit_p,
    primitives.remat_p,
    primitives.custom_jvp_call_p,
    primitives.custom_vjp_call_p,
}


def calls_any(program: Any, concerned: Callable[[core.JaxprEqn], bool]) -> bool:
    """Whether an equation of the program, or of a program inside it, is `concerned`."""
    return any(
        concerned(equation)
        or any(calls_any(inner, concerned) for inner in core.jaxprs_in_params(equation.params))
        for equation in opened(program)[0].eqns
    )


def evaluate(equation: core.JaxprEqn, *inputs: Any) -> Sequence[Any]:
    """The outputs of one equation, as JAX computes them.

    The equation is evaluated as a program of its own, which holds for every primitive, keeps
    custom derivatives, and keeps the name scopes that profilers show.
    """
    arguments = [
        (variable, value)
        for variable, value in zip(equation.invars, inputs, strict=True)
        if not isinstance(variable, core.Literal)
    ]
    alone = core.Jaxpr(
        (),
        [variable for variable, _ in arguments],
        equation.outvars,
        [equation],
        equation.effects,
        debug_info=core.DebugInfo("jaxviz", equation.primitive.name, None, None),
    )
    return core.jaxpr_as_fun(core.ClosedJaxpr(alone, ()))(*(value for _, value in arguments))


def interpret(
    program: Any, inputs: Sequence[Any], rules: Rules, taken: frozenset[str] = frozenset()
) -> tuple[list[Any], OrderedDict[str, Any]]:
    """The outputs of a program under a transformation's rules.

    Args:
      program: a jaxpr, closed or without constants.
      inputs: one value for each of its inputs.
      rules: the transformation.
      taken: names of values that were found before.

    Returns:
      `(outputs, found)`: the program's outputs as values, and what the rules found by name.

    Raises:
      NotImplementedError: a rule applies inside a call that cannot be entered.
    """
    jaxpr, constants = opened(program)
    values: dict[core.Var, Any] = {}
    found = Found(taken)

    def read(variable: core.Var | core.Literal) -> Any:
        if isinstance(variable, core.Literal):
            return rules.constant(variable.val)
        return values[variable]

    values.update(zip(jaxpr.constvars, map(rules.constant, constants), strict=True))
    values.update(zip(jaxpr.invars, inputs, strict=True))
    for equation in jaxpr.eqns:
        operands = [read(variable) for variable in equation.invars]
        outputs = rules.rule(equation, operands, found)
        if outputs is None:
            outputs, inner = _without_rule(equation, operands, rules, taken.union(found))
            found.update(inner)
        values.update(zip(equation.outvars, outputs, strict=True))
    # A pytree, which keeps its order.
    return [read(variable) for variable in jaxpr.outvars], OrderedDict(found)


def _without_rule(
    equation: core.JaxprEqn, operands: Sequence[Any], rules: Rules, taken: frozenset[str]
) -> tuple[Sequence[Any], OrderedDict[str, Any]]:
    inner = list(core.jaxprs_in_params(equation.params))
    if not any(rules.enters(opened(program)[0]) for program in inner):
        return rules.otherwise(equation, operands), OrderedDict()
    enter = _ENTERED.get(equation.primitive)
    if enter is not None:
        return enter(equation, operands, rules, taken)
    if equation.primitive.name.startswith(_COMBINING):
        return rules.otherwise(equation, operands), OrderedDict()
    raise NotImplementedError(
        f"the model calls '{equation.primitive.name}', and jaxviz cannot go into it; put the "
        "transformation inside of it, or write the model without it."
    )


# The programs inside these say how to combine two numbers, and are no part of the model.
_COMBINING = ("reduce", "scatter", "select_and", "sort", "cum", "arg")


def _enter_jit(equation, operands, rules, taken):
    parameters = equation.params

    def body(operands):
        return interpret(parameters["jaxpr"], operands, rules, taken)

    body.__name__ = parameters["name"]
    options = dict(parameters["compiler_options_kvs"])
    call = jax.jit(body, inline=parameters["inline"], compiler_options=options or None)
    outputs, found = call([*map(_placed, operands, parameters["in_shardings"])])
    return [*map(_placed, outputs, parameters["out_shardings"])], found


def _placed(value, sharding):
    if not isinstance(sharding, jax.sharding.Sharding):
        return value
    return jax.tree.map(lambda leaf: jax.lax.with_sharding_constraint(leaf, sharding), value)


def _enter_remat(equation, operands, rules, taken):
    parameters = equation.params
    body = jax.checkpoint(
        lambda operands: interpret(parameters["jaxpr"], operands, rules, taken),
        prevent_cse=parameters["prevent_cse"],
        policy=parameters["policy"],
    )
    return body(operands)


def _enter_custom(equation, operands, rules, taken):
    # A custom derivative is the model's own, and is given up only where a rule replaces it: a
    # first walk over shapes alone tells whether one does.
    program = equation.params["call_jaxpr"]
    applied = []

    def noting(inner, inputs, found):
        outputs = rules.rule(inner, inputs, found)
        applied.append(outputs is not None)
        return outputs

    jax.eval_shape(
        lambda operands: interpret(program, operands, rules._replace(rule=noting), taken), operands
    )
    if any(applied):
        return interpret(program, operands, rules, taken)
    return rules.otherwise(equation, operands), OrderedDict()


def _enter_scan(equation, operands, rules, taken):
    parameters = equation.params
    if "ft_in" in parameters:  # jax >= 0.11
        constant_count, carry_count = (len(part) for part in parameters["ft_in"].unpack()[:2])
    else:
        constant_count, carry_count = parameters["num_consts"], parameters["num_carry"]
    constants, joined, sliced = (
        operands[:constant_count],
        operands[constant_count : constant_count + carry_count],
        operands[constant_count + carry_count :],
    )

    def body(carry, slices):
        # What is known of a value holds for its slices; what is carried comes from two places.
        turn = [*map(rules.resume, carry), *slices]
        outputs, found = interpret(parameters["jaxpr"], [*constants, *turn], rules, taken)
        outputs = [rules.settle(value) for value in outputs]
        return outputs[:carry_count], (outputs[carry_count:], found)

    carry, (stacked, found) = jax.lax.scan(
        body,
        [*map(rules.settle, joined)],
        sliced,
        length=parameters["length"],
        reverse=parameters["reverse"],
        unroll=parameters["unroll"],
    )
    return [*map(rules.resume, [*carry, *stacked])], found


def _enter_cond(equation, operands, rules, taken):
    index, *operands = operands
    names = []

    def branch(program):
        def body(operands):
            outputs, found = interpret(program, operands, rules, taken)
            names.append(tuple(found))
            return [rules.settle(value) for value in outputs], found

        return body

    branches = [branch(program) for program in equation.params["branches"]]
    for body in branches:
        jax.eval_shape(body, operands)
    uneven = sorted(set().union(*names) - set(names[0]).intersection(*names))
    if uneven:
        raise NotImplementedError(
            f"layer '{uneven[0]}' lies in one branch of a cond only, so it does not always have "
            "a value; tap a value of that name in every branch, or tap the cond's result."
        )
    outputs, found = jax.lax.switch(rules.array(rules.settle(index)), branches, operands)
    return [*map(rules.resume, outputs)], found


def _enter_while(equation, operands, rules, taken):
    parameters = equation.params
    split = parameters["cond_nconsts"], parameters["cond_nconsts"] + parameters["body_nconsts"]
    condition_constants, body_constants = operands[: split[0]], operands[split[0] : split[1]]

    def condition(carry):
        turn = map(rules.resume, carry)
        outputs, _ = interpret(parameters["cond_jaxpr"], [*condition_constants, *turn], rules)
        return rules.array(rules.settle(outputs[0]))

    def body(carry):
        turn = map(rules.resume, carry)
        outputs, found = interpret(parameters["body_jaxpr"], [*body_constants, *turn], rules)
        if found:
            raise NotImplementedError(
                f"layer '{next(iter(found))}' lies in a while loop, whose number of turns is not "
                "known, so its values cannot be kept; tap the loop's result."
            )
        return [rules.settle(value) for value in outputs]

    carry = [rules.settle(value) for value in operands[split[1] :]]
    carry = jax.lax.while_loop(condition, body, carry)
    return [*map(rules.resume, carry)], OrderedDict()


_ENTERED = {
    primitives.jit_p: _enter_jit,
    primitives.remat_p: _enter_remat,
    primitives.custom_jvp_call_p: _enter_custom,
    primitives.custom_vjp_call_p: _enter_custom,
    primitives.scan_p: _enter_scan,
    primitives.cond_p: _enter_cond,
    primitives.while_p: _enter_while,
}
