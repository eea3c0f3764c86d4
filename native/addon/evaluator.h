// The run-time evaluator for JavaScript: explain, test and replay ask it, with texts only. And the
// pattern checks that validation needs.
#ifndef FILEWARD_ADDON_EVALUATOR_H_
#define FILEWARD_ADDON_EVALUATOR_H_

#include <napi.h>

namespace fileward {

// createEvaluator(rulesetJson: string): Evaluator
Napi::Value CreateEvaluator(const Napi::CallbackInfo& info);

// checkGlob(pattern: string), checkRegex(pattern: string): PatternProblem | null
Napi::Value CheckGlob(const Napi::CallbackInfo& info);
Napi::Value CheckRegex(const Napi::CallbackInfo& info);

}  // namespace fileward

#endif  // FILEWARD_ADDON_EVALUATOR_H_
