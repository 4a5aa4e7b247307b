"""The messages that graphs are stored in: the names, numbers and types of their fields.

From graph.proto, meta_graph.proto, saved_model.proto, saved_object_graph.proto, variable.proto and
what they use, as TensorFlow 2.21 has them. A message per entry: "field number type", `*` for a
repeated field, `<key value>` for a map, `oneof.field` for one of several. The package
"tensorflow" is left out of all names.
"""

from __future__ import annotations

from typing import Final

PROTO3: Final = """
google.protobuf.Any: type_url 1 string, value 2 bytes
AssetFileDef: tensor_info 1 TensorInfo, filename 2 string
AttrValue: value.list 1 AttrValue.ListValue, value.s 2 bytes, value.i 3 int64, value.f 4 float,
  value.b 5 bool, value.type 6 DataType, value.shape 7 TensorShapeProto, value.tensor 8
  TensorProto, value.placeholder 9 string, value.func 10 NameAttrList
AttrValue.ListValue: s 2 bytes*, i 3 int64*, f 4 float*, b 5 bool*, type 6 DataType*, shape 7
  TensorShapeProto*, tensor 8 TensorProto*, func 9 NameAttrList*
BoundedTensorSpecProto: name 1 string, shape 2 TensorShapeProto, dtype 3 DataType, minimum 4
  TensorProto, maximum 5 TensorProto
CapturedTensor: name 1 string, concrete_function 2 string
CollectionDef: kind.node_list 1 CollectionDef.NodeList, kind.bytes_list 2
  CollectionDef.BytesList, kind.int64_list 3 CollectionDef.Int64List, kind.float_list 4
  CollectionDef.FloatList, kind.any_list 5 CollectionDef.AnyList
CollectionDef.AnyList: value 1 google.protobuf.Any*
CollectionDef.BytesList: value 1 bytes*
CollectionDef.FloatList: value 1 float*
CollectionDef.Int64List: value 1 int64*
CollectionDef.NodeList: value 1 string*
DictValue: fields 1 <string StructuredValue>
FullTypeDef: type_id 1 FullTypeId, args 2 FullTypeDef*, attr.s 3 string, attr.i 4 int64
FunctionDef: signature 1 OpDef, node_def 3 NodeDef*, ret 4 <string string>, attr 5 <string
  AttrValue>, control_ret 6 <string string>, arg_attr 7 <uint32 FunctionDef.ArgAttrs>,
  resource_arg_unique_id 8 <uint32 uint32>
FunctionDef.ArgAttrs: attr 1 <string AttrValue>
FunctionDefLibrary: function 1 FunctionDef*, gradient 2 GradientDef*, registered_gradients 3
  RegisteredGradient*
FunctionSpec: fullargspec 1 StructuredValue, is_method 2 bool, input_signature 5
  StructuredValue, jit_compile 6 FunctionSpec.JitCompile
GradientDef: function_name 1 string, gradient_func 2 string
GraphDef: node 1 NodeDef*, library 2 FunctionDefLibrary, version 3 int32, versions 4 VersionDef,
  debug_info 5 GraphDebugInfo
ListValue: values 1 StructuredValue*
MetaGraphDef: meta_info_def 1 MetaGraphDef.MetaInfoDef, graph_def 2 GraphDef, saver_def 3
  SaverDef, collection_def 4 <string CollectionDef>, signature_def 5 <string SignatureDef>,
  asset_file_def 6 AssetFileDef*, object_graph_def 7 SavedObjectGraph
MetaGraphDef.MetaInfoDef: meta_graph_version 1 string, stripped_op_list 2 OpList, any_info 3
  google.protobuf.Any, tags 4 string*, tensorflow_version 5 string, tensorflow_git_version 6
  string, stripped_default_attrs 7 bool, function_aliases 8 <string string>
NameAttrList: name 1 string, attr 2 <string AttrValue>
NamedTupleValue: name 1 string, values 2 PairValue*
NodeDef: name 1 string, op 2 string, input 3 string*, device 4 string, attr 5 <string
  AttrValue>, experimental_debug_info 6 NodeDef.ExperimentalDebugInfo, experimental_type 7
  FullTypeDef
NodeDef.ExperimentalDebugInfo: original_node_names 1 string*, original_func_names 2 string*
NoneValue:
OpDef: name 1 string, input_arg 2 OpDef.ArgDef*, output_arg 3 OpDef.ArgDef*, attr 4
  OpDef.AttrDef*, summary 5 string, description 6 string, deprecation 8 OpDeprecation,
  is_aggregate 16 bool, is_stateful 17 bool, is_commutative 18 bool, allows_uninitialized_input
  19 bool, control_output 20 string*, is_distributed_communication 21 bool
OpDef.ArgDef: name 1 string, description 2 string, type 3 DataType, type_attr 4 string,
  number_attr 5 string, type_list_attr 6 string, handle_data 7
  ResourceHandleProto.DtypeAndShape*, is_ref 16 bool, experimental_full_type 17 FullTypeDef
OpDef.AttrDef: name 1 string, type 2 string, default_value 3 AttrValue, description 4 string,
  has_minimum 5 bool, minimum 6 int64, allowed_values 7 AttrValue
OpDeprecation: version 1 int32, explanation 2 string
OpList: op 1 OpDef*
PairValue: key 1 string, value 2 StructuredValue
RegisteredGradient: gradient_func 1 string, registered_op_type 2 string
ResourceHandleProto: device 1 string, container 2 string, name 3 string, hash_code 4 uint64,
  maybe_type_name 5 string, dtypes_and_shapes 6 ResourceHandleProto.DtypeAndShape*
ResourceHandleProto.DtypeAndShape: dtype 1 DataType, shape 2 TensorShapeProto
SaveSliceInfoDef: full_name 1 string, full_shape 2 int64*, var_offset 3 int64*, var_shape 4
  int64*
SaveableObject: save_function 2 int32, restore_function 3 int32
SavedAsset: asset_file_def_index 1 int32
SavedBareConcreteFunction: concrete_function_name 1 string, argument_keywords 2 string*,
  allowed_positional_arguments 3 int64, function_spec 4 FunctionSpec
SavedConcreteFunction: bound_inputs 2 int32*, canonicalized_input_signature 3 StructuredValue,
  output_signature 4 StructuredValue
SavedConstant: operation 1 string
SavedFunction: concrete_functions 1 string*, function_spec 2 FunctionSpec
SavedModel: saved_model_schema_version 1 int64, meta_graphs 2 MetaGraphDef*
SavedObject: children 1 TrackableObjectGraph.TrackableObject.ObjectReference*, slot_variables 3
  TrackableObjectGraph.TrackableObject.SlotVariableReference*, kind.user_object 4
  SavedUserObject, kind.asset 5 SavedAsset, kind.function 6 SavedFunction, kind.variable 7
  SavedVariable, kind.bare_concrete_function 8 SavedBareConcreteFunction, kind.constant 9
  SavedConstant, kind.resource 10 SavedResource, saveable_objects 11 <string SaveableObject>,
  kind.captured_tensor 12 CapturedTensor, registered_name 13 string, serialized_user_proto 14
  google.protobuf.Any, dependencies 15 TrackableObjectGraph.TrackableObject.ObjectReference*,
  registered_saver 16 string
SavedObjectGraph: nodes 1 SavedObject*, concrete_functions 2 <string SavedConcreteFunction>
SavedResource: device 1 string
SavedUserObject: identifier 1 string, version 2 VersionDef, metadata 3 string
SavedVariable: dtype 1 DataType, shape 2 TensorShapeProto, trainable 3 bool, synchronization 4
  VariableSynchronization, aggregation 5 VariableAggregation, name 6 string, device 7 string,
  experimental_distributed_variable_components 8 SavedVariable*
SaverDef: filename_tensor_name 1 string, save_tensor_name 2 string, restore_op_name 3 string,
  max_to_keep 4 int32, sharded 5 bool, keep_checkpoint_every_n_hours 6 float, version 7
  SaverDef.CheckpointFormatVersion
SignatureDef: inputs 1 <string TensorInfo>, outputs 2 <string TensorInfo>, method_name 3 string,
  defaults 4 <string TensorProto>
StructuredValue: kind.none_value 1 NoneValue, kind.float64_value 11 double, kind.int64_value 12
  sint64, kind.string_value 13 string, kind.bool_value 14 bool, kind.tensor_shape_value 31
  TensorShapeProto, kind.tensor_dtype_value 32 DataType, kind.tensor_spec_value 33
  TensorSpecProto, kind.type_spec_value 34 TypeSpecProto, kind.bounded_tensor_spec_value 35
  BoundedTensorSpecProto, kind.list_value 51 ListValue, kind.tuple_value 52 TupleValue,
  kind.dict_value 53 DictValue, kind.named_tuple_value 54 NamedTupleValue, kind.tensor_value 55
  TensorProto, kind.numpy_value 56 TensorProto
TensorInfo: encoding.name 1 string, dtype 2 DataType, tensor_shape 3 TensorShapeProto,
  encoding.coo_sparse 4 TensorInfo.CooSparse, encoding.composite_tensor 5
  TensorInfo.CompositeTensor
TensorInfo.CompositeTensor: type_spec 1 TypeSpecProto, components 2 TensorInfo*
TensorInfo.CooSparse: values_tensor_name 1 string, indices_tensor_name 2 string,
  dense_shape_tensor_name 3 string
TensorProto: dtype 1 DataType, tensor_shape 2 TensorShapeProto, version_number 3 int32,
  tensor_content 4 bytes, float_val 5 float*, double_val 6 double*, int_val 7 int32*, string_val
  8 bytes*, scomplex_val 9 float*, int64_val 10 int64*, bool_val 11 bool*, dcomplex_val 12
  double*, half_val 13 int32*, resource_handle_val 14 ResourceHandleProto*, variant_val 15
  VariantTensorDataProto*, uint32_val 16 uint32*, uint64_val 17 uint64*, float8_val 18 bytes
TensorShapeProto: dim 2 TensorShapeProto.Dim*, unknown_rank 3 bool
TensorShapeProto.Dim: size 1 int64, name 2 string
TensorSpecProto: name 1 string, shape 2 TensorShapeProto, dtype 3 DataType
TrackableObjectGraph.TrackableObject.ObjectReference: node_id 1 int32, local_name 2 string
TrackableObjectGraph.TrackableObject.SlotVariableReference: original_variable_node_id 1 int32,
  slot_name 2 string, slot_variable_node_id 3 int32
TupleValue: values 1 StructuredValue*
TypeSpecProto: type_spec_class 1 TypeSpecProto.TypeSpecClass, type_state 2 StructuredValue,
  type_spec_class_name 3 string, num_flat_components 4 int32
VariableDef: variable_name 1 string, initializer_name 2 string, snapshot_name 3 string,
  save_slice_info_def 4 SaveSliceInfoDef, is_resource 5 bool, initial_value_name 6 string,
  trainable 7 bool, synchronization 8 VariableSynchronization, aggregation 9 VariableAggregation
VariantTensorDataProto: type_name 1 string, metadata 2 bytes, tensors 3 TensorProto*
VersionDef: producer 1 int32, min_consumer 2 int32, bad_consumers 3 int32*
"""

ENUMS: Final = """
enum DataType: DT_INVALID 0, DT_FLOAT 1, DT_DOUBLE 2, DT_INT32 3, DT_UINT8 4, DT_INT16 5,
  DT_INT8 6, DT_STRING 7, DT_COMPLEX64 8, DT_INT64 9, DT_BOOL 10, DT_QINT8 11, DT_QUINT8 12,
  DT_QINT32 13, DT_BFLOAT16 14, DT_QINT16 15, DT_QUINT16 16, DT_UINT16 17, DT_COMPLEX128 18,
  DT_HALF 19, DT_RESOURCE 20, DT_VARIANT 21, DT_UINT32 22, DT_UINT64 23, DT_FLOAT8_E5M2 24,
  DT_FLOAT8_E4M3FN 25, DT_FLOAT8_E4M3FNUZ 26, DT_FLOAT8_E4M3B11FNUZ 27, DT_FLOAT8_E5M2FNUZ 28,
  DT_INT4 29, DT_UINT4 30, DT_INT2 31, DT_UINT2 32, DT_FLOAT4_E2M1FN 33, DT_FLOAT_REF 101,
  DT_DOUBLE_REF 102, DT_INT32_REF 103, DT_UINT8_REF 104, DT_INT16_REF 105, DT_INT8_REF 106,
  DT_STRING_REF 107, DT_COMPLEX64_REF 108, DT_INT64_REF 109, DT_BOOL_REF 110, DT_QINT8_REF 111,
  DT_QUINT8_REF 112, DT_QINT32_REF 113, DT_BFLOAT16_REF 114, DT_QINT16_REF 115, DT_QUINT16_REF
  116, DT_UINT16_REF 117, DT_COMPLEX128_REF 118, DT_HALF_REF 119, DT_RESOURCE_REF 120,
  DT_VARIANT_REF 121, DT_UINT32_REF 122, DT_UINT64_REF 123, DT_FLOAT8_E5M2_REF 124,
  DT_FLOAT8_E4M3FN_REF 125, DT_FLOAT8_E4M3FNUZ_REF 126, DT_FLOAT8_E4M3B11FNUZ_REF 127,
  DT_FLOAT8_E5M2FNUZ_REF 128, DT_INT4_REF 129, DT_UINT4_REF 130, DT_INT2_REF 131, DT_UINT2_REF
  132, DT_FLOAT4_E2M1FN_REF 133
enum FullTypeId: TFT_UNSET 0, TFT_VAR 1, TFT_ANY 2, TFT_PRODUCT 3, TFT_NAMED 4, TFT_FOR_EACH 20,
  TFT_CALLABLE 100, TFT_TENSOR 1000, TFT_ARRAY 1001, TFT_OPTIONAL 1002, TFT_LITERAL 1003,
  TFT_ENCODED 1004, TFT_SHAPE_TENSOR 1005, TFT_BOOL 200, TFT_UINT8 201, TFT_UINT16 202,
  TFT_UINT32 203, TFT_UINT64 204, TFT_INT8 205, TFT_INT16 206, TFT_INT32 207, TFT_INT64 208,
  TFT_HALF 209, TFT_FLOAT 210, TFT_DOUBLE 211, TFT_BFLOAT16 215, TFT_COMPLEX64 212,
  TFT_COMPLEX128 213, TFT_STRING 214, TFT_DATASET 10102, TFT_RAGGED 10103, TFT_ITERATOR 10104,
  TFT_MUTEX_LOCK 10202, TFT_LEGACY_VARIANT 10203
enum FunctionSpec.JitCompile: DEFAULT 0, ON 1, OFF 2
enum SaverDef.CheckpointFormatVersion: LEGACY 0, V1 1, V2 2
enum TypeSpecProto.TypeSpecClass: UNKNOWN 0, SPARSE_TENSOR_SPEC 1, INDEXED_SLICES_SPEC 2,
  RAGGED_TENSOR_SPEC 3, TENSOR_ARRAY_SPEC 4, DATA_DATASET_SPEC 5, DATA_ITERATOR_SPEC 6,
  OPTIONAL_SPEC 7, PER_REPLICA_SPEC 8, VARIABLE_SPEC 9, ROW_PARTITION_SPEC 10,
  REGISTERED_TYPE_SPEC 12, EXTENSION_TYPE_SPEC 13
enum VariableAggregation: VARIABLE_AGGREGATION_NONE 0, VARIABLE_AGGREGATION_SUM 1,
  VARIABLE_AGGREGATION_MEAN 2, VARIABLE_AGGREGATION_ONLY_FIRST_REPLICA 3
enum VariableSynchronization: VARIABLE_SYNCHRONIZATION_AUTO 0, VARIABLE_SYNCHRONIZATION_NONE 1,
  VARIABLE_SYNCHRONIZATION_ON_WRITE 2, VARIABLE_SYNCHRONIZATION_ON_READ 3
"""

PROTO2: Final = """
GraphDebugInfo: files 1 string*, traces 2 <string GraphDebugInfo.StackTrace>, frames_by_id 4
  <fixed64 GraphDebugInfo.FileLineCol>, name_to_trace_id 5 <string fixed64>, traces_by_id 6
  <fixed64 GraphDebugInfo.StackTrace>
GraphDebugInfo.FileLineCol: file_index 1 int32, line 2 int32, col 3 int32, func 4 string, code 5
  string
GraphDebugInfo.StackTrace: file_line_cols 1 GraphDebugInfo.FileLineCol*, frame_id 2 fixed64*
"""
