"""Whether what nodes take is there: the node, the output of that number, and not their own result.

Only for nodes that stay in the graph, and functions that they call. Which operations have how many
outputs is known for those that graphs are made of; TensorFlow checks the others when it imports the
graph, or runs the function.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from typing import Any, Final, NamedTuple

from . import _arity, _source, _wires
from ._source import Source

_BACK: Final = ("NextIteration", "RefNextIteration")
_MERGES: Final = ("Merge", "RefMerge")

# Operations of one output.
_ONE: Final = """
Abs Acos Acosh Add AddN AddV2 All Any ApproximateEqual ArgMax ArgMin AsString Asin Asinh Atan
Atan2 Atanh AvgPool AvgPool3D BatchMatMul BatchMatMulV2 BatchMatMulV3 BatchToSpaceND BiasAdd
BiasAddV1 Bitcast BitwiseAnd BitwiseOr BroadcastArgs BroadcastTo Bucketize Cast Ceil
CheckNumerics ClipByValue Complex ComplexAbs Concat ConcatV2 Conj Const Conv Conv2D Conv3D Cos
Cosh CropAndResize Cross Cumprod Cumsum DecodeBmp DecodeImage DecodeJpeg DecodePng DecodeRaw
DepthToSpace DepthwiseConv2dNative Dequantize Diag DiagPart Dilation2D Div DivNoNan
DynamicStitch Einsum Elu Empty Enter Equal Erf Erfc Exit Exp ExpandDims Expm1 FFT Fill Floor
FloorDiv FloorMod Gather GatherNd GatherV2 Greater GreaterEqual HashTableV2 IFFT IRFFT Identity
Imag InTopK InTopKV2 InvertPermutation IsFinite IsInf IsNan L2Loss LRN LeakyRelu Less LessEqual
Lgamma LinSpace Log Log1p LogSoftmax LogicalAnd LogicalNot LogicalOr LookupTableFindV2
LookupTableSizeV2 LoopCond MatMul MatrixBandPart MatrixDiag MatrixDiagPart MatrixDiagV3
MatrixInverse Max MaxPool MaxPool3D MaxPoolV2 Maximum Mean Min Minimum MirrorPad Mod Mul
MulNoNan Multinomial Neg NextIteration NonMaxSuppressionV3 NotEqual OneHot OnesLike Pack Pad
PadV2 ParallelDynamicStitch Placeholder PlaceholderV2 PlaceholderWithDefault Pow PreventGradient
Prod RFFT RandomShuffle RandomStandardNormal RandomUniform RandomUniformInt Range Rank ReadFile
ReadVariableOp Real RealDiv Reciprocal Relu Relu6 Reshape ResizeArea ResizeBicubic
ResizeBilinear ResizeNearestNeighbor ResourceGather ResourceGatherNd Reverse ReverseSequence
ReverseV2 Rint Roll Round Rsqrt ScatterNd SegmentMean SegmentSum Select SelectV2 Selu Shape
ShardedFilename Sigmoid Sign Sin Sinh Size Slice Snapshot Softmax Softplus Softsign
SpaceToBatchND SpaceToDepth SparseSegmentMean SparseSegmentSqrtN SparseSegmentSum
SparseTensorDenseMatMul SparseToDense Sqrt Square SquaredDifference Squeeze StatelessMultinomial
StatelessRandomNormal StatelessRandomUniform StopGradient StridedSlice StringJoin StringLower
StringStrip StringToHashBucketFast StringToNumber Sub Substr Sum Tan Tanh TensorArrayGatherV3
TensorArrayReadV3 TensorArraySizeV3 TensorListFromTensor TensorListGetItem TensorListReserve
TensorListSetItem TensorListStack TensorScatterAdd TensorScatterUpdate Tile Transpose
TruncateDiv TruncatedNormal UnsortedSegmentSum VarHandleOp VarIsInitializedOp Variable
VariableShape VariableV2 Where Xdivy Xlogy ZerosLike
"""
# By operation: the number of its outputs, or the attribute that says it or lists their types.
OUTPUTS: Final[Mapping[str, int | str]] = {
    **dict.fromkeys(_ONE.split(), 1),
    **dict.fromkeys(("Merge", "Switch", "TopK", "TopKV2", "Unique"), 2),
    "FusedBatchNorm": 5,
    "FusedBatchNormV2": 5,
    "FusedBatchNormV3": 6,
    "IdentityN": "T",
    "Split": "num_split",
    "SplitV": "num_split",
    "Unpack": "num",
    "PartitionedCall": "Tout",
    "StatefulPartitionedCall": "Tout",
    "If": "Tout",
    "StatelessIf": "Tout",
    "While": "T",
    "StatelessWhile": "T",
}


class _Body(NamedTuple):
    """What is checked at once: the graph, or a function and the names of its arguments."""

    source: Source
    nodes: Mapping[str, Any]
    function: str | None = None
    arguments: Container[str] = ()

    @property
    def where(self) -> str:
        """The end of what is said of a node."""
        return "" if self.function is None else f" in function {self.function}"

    def absent(self, what: str, text: str) -> Exception:
        """The error for a node that is not there."""
        if self.function is None:
            return ValueError(f"{what}, and {_source.missing(self.source, text)}")
        return _arity.damaged(self.source, f"{what}, which is neither a node of it nor an argument")


def check(source: Source, nodes: Mapping[str, Any], kept: Container[str]) -> None:
    """Raise `ValueError` for a missing node, `DataLossError` for a graph that nothing could run.

    `nodes` are those of the graph, in their order, by their names.
    """
    _check(_Body(source, nodes), kept)


def check_functions(source: Source) -> None:
    """Raise `DataLossError` for a function in the library that nothing could call."""
    for function in source.graph_def.library.function:
        signature = function.signature
        nodes = {node.name: node for node in function.node_def}
        arguments = {argument.name for argument in signature.input_arg}
        body = _Body(source, nodes, signature.name, arguments)
        _check(body, nodes)
        for text in [*function.ret.values(), *function.control_ret.values()]:
            _check_taken(body, f"function {signature.name} returns {text}", text)


def check_output(source: Source, nodes: Mapping[str, Any], text: str) -> None:
    """Raise as `check` for an output that is asked for and that its node has not."""
    _check_taken(_Body(source, nodes), f"{text} is asked for", text)


def _check(body: _Body, kept: Container[str]) -> None:
    seen: set[str] = set()
    is_sorted = True
    for name, node in body.nodes.items():
        if name not in kept:
            continue
        for text in node.input:
            taken = _wires.node_of(text)
            if taken not in seen and taken in body.nodes:
                is_sorted = is_sorted and _is_back(node, body.nodes[taken])
            if taken not in seen or ":" in text:
                _check_taken(body, f"{node.op} {name}{body.where} takes {text}", text)
        seen.add(name)
    if not is_sorted:  # then no node can come before itself
        circle = _circle(body.nodes, seen)
        if circle:
            names = " <- ".join(circle)
            raise _arity.damaged(body.source, f"nodes{body.where} wait for each other: {names}")


def _check_taken(body: _Body, what: str, text: str) -> None:
    """Raise for a tensor that there is not. `what` begins the message."""
    taken = _wires.node_of(text)
    node = body.nodes.get(taken)
    if node is None:
        if taken not in body.arguments:
            raise body.absent(what, text)
    elif ":" in text:
        count = _count(node, in_function=body.function is not None)
        if count is not None and _wires.index_of(text) >= count:
            outputs = f"{count} output{'s' * (count != 1)}"
            raise _arity.damaged(body.source, f"{what}, and {node.op} {node.name} has {outputs}")


def _count(node: Any, *, in_function: bool) -> int | None:
    """How far the outputs of a node are numbered, if that is known.

    In a function, where outputs have names, only those that share one are.
    """
    known = OUTPUTS.get(node.op)
    if not isinstance(known, str):
        return 1 if known and in_function else known
    if known not in node.attr:
        return None
    attribute = node.attr[known]
    return len(attribute.list.type) if attribute.HasField("list") else int(attribute.i)


def _is_back(node: Any, taken: Any) -> bool:
    """Whether a node takes what the loop that it begins has made the time before."""
    return node.op in _MERGES and taken.op in _BACK


def _circle(nodes: Mapping[str, Any], kept: Container[str]) -> list[str]:
    """Nodes that each take what the next one makes, and the last what the first does."""

    def inputs(name: str) -> Iterator[str]:
        for text in nodes[name].input:
            taken = _wires.node_of(text)
            if taken in nodes and not _is_back(nodes[name], nodes[taken]):
                yield taken

    done: set[str] = set()
    for start in nodes:
        if start not in kept or start in done:
            continue
        path = {start: inputs(start)}
        while path:
            name = next(reversed(path))
            taken = next(path[name], None)
            if taken is None:
                done.add(name)
                del path[name]
            elif taken in path:
                names = list(path)
                return [*names[names.index(taken) :], taken]
            elif taken not in done:
                path[taken] = inputs(taken)
    return []
