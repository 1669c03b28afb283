// One path, several kinds: which part of the policy judges an object.
import { isWorkload } from '../core/workload.ts';
import { createValidatePod, type ValidatePod, type ValidateTools } from './validate-pod.ts';
import { createValidateServiceAccount } from './validate-service-account.ts';
import { createValidateWorkload } from './validate-workload.ts';

/** As the pods' own part; of accounts and workloads no failure denies. */
export function createValidate(tools: ValidateTools): ValidatePod {
  const validatePod = createValidatePod(tools);
  const validateServiceAccount = createValidateServiceAccount(tools);
  const validateWorkload = createValidateWorkload(tools);
  return (call, request, mode) => {
    const { group, kind } = request;
    if (group === '' && kind === 'ServiceAccount') return validateServiceAccount(call, request, mode);
    if (isWorkload(group, kind)) return validateWorkload(call, request, mode);
    return validatePod(call, request, mode);
  };
}
