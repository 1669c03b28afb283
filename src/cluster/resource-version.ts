// Kubernetes' resource versions are comparable integers (KEP-5504); what is none is taken as it comes.
import { fieldsOf, textOf } from '../core/fields.ts';

export function versionOf(raw: unknown): bigint {
  return toVersion(textOf(fieldsOf(fieldsOf(raw)['metadata'])['resourceVersion']));
}

/** 0 for what is no version. */
export function toVersion(text: string): bigint {
  return /^\d{1,20}$/.test(text) ? BigInt(text) : 0n;
}
