// Whether the API server keeps the pods of an account from using Secrets that the account does not list.
import { ENFORCE_MOUNTABLE_ANNOTATION } from './vocabulary.ts';
import type { AccountView } from './pod-view.ts';

/** What Go's strconv.ParseBool takes for true. (kubernetes/kubernetes plugin/pkg/admission/serviceaccount) */
const TRUE: readonly unknown[] = ['1', 't', 'T', 'true', 'TRUE', 'True'];

export function enforcesMountableSecrets({ annotations }: AccountView): boolean {
  return TRUE.includes(annotations[ENFORCE_MOUNTABLE_ANNOTATION]);
}
