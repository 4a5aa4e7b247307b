// An operation library with checkpoint callbacks, as its users write them.
//
// Running `RegisterCheckpointCallbacks` gives the manager of the device a save and a restore
// callback for files `ID.EXTENSION`. They append a line to `log` each: what runs, the checkpoint's
// id, what is restored, and whether the index of the checkpoint in `folder` is there already.
// Without `content` they fail.

#include <unistd.h>

#include <fstream>
#include <string>

#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/resource_mgr.h"
#include "tensorflow/core/kernels/checkpoint_callback_manager.h"

namespace {

using tensorflow::checkpoint::CheckpointCallbackManager;

REGISTER_OP("RegisterCheckpointCallbacks")
    .Attr("extension: string")
    .Attr("content: string")
    .Attr("log: string")
    .Attr("folder: string")
    .SetIsStateful();

class RegisterCheckpointCallbacks : public tensorflow::OpKernel {
 public:
  explicit RegisterCheckpointCallbacks(tensorflow::OpKernelConstruction* context)
      : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("extension", &extension_));
    OP_REQUIRES_OK(context, context->GetAttr("content", &content_));
    OP_REQUIRES_OK(context, context->GetAttr("log", &log_));
    OP_REQUIRES_OK(context, context->GetAttr("folder", &folder_));
  }

  void Compute(tensorflow::OpKernelContext* context) override {
    auto* resources = context->resource_manager();
    const std::string name(tensorflow::checkpoint::kCheckpointCallbackManagerResourceName);
    CheckpointCallbackManager* manager = nullptr;
    OP_REQUIRES_OK(context, resources->LookupOrCreate<CheckpointCallbackManager>(
                                resources->default_container(), name, &manager,
                                [](CheckpointCallbackManager** made) {
                                  *made = new CheckpointCallbackManager();
                                  return absl::OkStatus();
                                }));
    tensorflow::core::ScopedUnref unref(manager);
    auto save = [content = content_, log = log_, folder = folder_](
                    absl::string_view id) -> absl::StatusOr<std::string> {
      const std::string index = folder + "/" + std::string(id) + ".index";
      const bool is_there = access(index.c_str(), F_OK) == 0;
      std::ofstream(log, std::ios::app) << "save " << id << (is_there ? " after index\n" : "\n");
      if (content.empty()) return absl::InternalError("a callback failed");
      return content;
    };
    auto restore = [content = content_, log = log_](absl::string_view id,
                                                    absl::string_view found) -> absl::Status {
      std::ofstream(log, std::ios::app) << "restore " << id << ": " << found << "\n";
      return content.empty() ? absl::InternalError("a callback failed") : absl::OkStatus();
    };
    OP_REQUIRES_OK(context, manager->RegisterSaveCallback(extension_, save));
    OP_REQUIRES_OK(context, manager->RegisterRestoreCallback(extension_, restore));
  }

 private:
  std::string extension_, content_, log_, folder_;
};

REGISTER_KERNEL_BUILDER(Name("RegisterCheckpointCallbacks").Device(tensorflow::DEVICE_CPU),
                        RegisterCheckpointCallbacks);

}  // namespace
