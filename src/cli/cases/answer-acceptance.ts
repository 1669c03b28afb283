// The API server's own rules for a webhook's answer, ported from k8s.io/apiserver: request/admissionreview.go
// (VerifyAdmissionResponse), the dispatchers, and the warning recorder. What they would drop or refuse is thrown.
import type { PatchOperation } from '../../core/pod-patch.ts';

export interface AcceptedReview {
  readonly allowed: boolean;
  readonly operations: readonly PatchOperation[];
  readonly status: { readonly code: number; readonly message: string; readonly reason: string } | undefined;
  readonly warnings: readonly string[];
  readonly audit: Readonly<Record<string, string>>;
}

/** A qualified name's name part (k8s.io/apimachinery validation). */
const AUDIT_KEY = /^[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;

export function acceptReview(text: string, uid: string, kind: 'mutating' | 'validating'): AcceptedReview {
  const review = JSON.parse(text);
  const response = review.response;
  demand(review.apiVersion === 'admission.k8s.io/v1' && review.kind === 'AdmissionReview', 'version or kind');
  demand(response?.uid === uid, `uid ${response?.uid} for ${uid}`);
  demand(typeof response.allowed === 'boolean', 'allowed');
  demand(
    (response.patch === undefined) === (response.patchType === undefined),
    'patch and patchType belong together',
  );
  demand(kind === 'mutating' || response.patch === undefined, 'a validating webhook patches nothing');
  demand(response.patchType === undefined || response.patchType === 'JSONPatch', 'patchType');
  if (!response.allowed) {
    demand(
      response.status?.code >= 400 && response.status.status === 'Failure',
      'a denial has a failing status',
    );
    demand(
      response.status.message.length > 0 && isPrintable(response.status.message),
      'a denial has a message of one line',
    );
    demand(response.patch === undefined, 'a denial patches nothing');
  }
  const warnings: string[] = response.warnings ?? [];
  for (const warning of warnings)
    demand(warning.length > 0 && isPrintable(warning), `warning ${JSON.stringify(warning)}`);
  demand(new Set(warnings).size === warnings.length, 'warnings twice');
  demand(warnings.join('').length <= 4096, 'over 4,096 characters every warning is cut to 256');
  for (const key of Object.keys(response.auditAnnotations ?? {}))
    demand(AUDIT_KEY.test(key), `audit key ${key}`);
  return {
    allowed: response.allowed,
    operations: response.patch === undefined ? [] : decodePatch(response.patch),
    status: response.status,
    warnings,
    audit: response.auditAnnotations ?? {},
  };
}

function decodePatch(base64: string): PatchOperation[] {
  const bytes = Buffer.from(base64, 'base64');
  demand(bytes.toString('base64') === base64, 'patch is base64');
  const operations = JSON.parse(bytes.toString('utf8'));
  demand(Array.isArray(operations) && operations.length > 0, 'an empty patch is no patch');
  return operations;
}

function isPrintable(text: string): boolean {
  return text.isWellFormed() && !/[\p{Cc}\p{Zl}\p{Zp}]/u.test(text);
}

function demand(holds: unknown, what: string): void {
  if (!holds) throw new Error(`the API server would not accept this answer: ${what}`);
}
