// What may leave a cluster in a file that people send around: everything but what opens something. Rather too much is taken out
// than too little.
import { Buffer } from 'node:buffer';

export const REDACTED = '[redacted]';

/** Fields whose value is a secret, whatever it looks like. */
const SECRET_FIELD =
  /^(?:auth|password|passwd|identitytoken|registrytoken|access_?token|refresh_?token|id_?token|token|secret|client_?secret|authorization|\.dockerconfigjson|\.dockercfg|private_?key|secret_?access_?key|session_?token)$/i;
/** Environment variables are named after what is in them. */
const SECRET_VARIABLE = /pass|secret|token|credential|(?:^|_)key$/i;

const FIELDS =
  'auth|password|passwd|identitytoken|registrytoken|access_token|refresh_token|token|secret|client_secret|authorization';

const PATTERNS: readonly (readonly [RegExp, string])[] = [
  [/-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)/g, REDACTED],
  // A JWT, also one that was cut off.
  [/\beyJ[\w-]{8,}(?:\.[\w-]*){0,4}/g, REDACTED],
  [/\b(Bearer|Basic)\s+[\w.~+/-]{6,}=*/gi, `$1 ${REDACTED}`],
  [/(:\/\/)[^\s/@"']+@/g, `$1${REDACTED}@`],
  [/\b(?:gh[pousr]_|github_pat_|glpat-|dckr_pat_|dckr_oat_|xox[abprs]-|hvs\.|AKCp)[\w-]{6,}/g, REDACTED],
  [/\b(?:AKIA|ASIA)[A-Z0-9]{16}\b/g, REDACTED],
  [/\bya29\.[\w-]{10,}/g, REDACTED],
  // JSON inside JSON, to whatever depth: up to the quote that ends the value.
  [
    new RegExp(String.raw`(\\+"(?:${FIELDS})\\+"\s*:\s*\\+")(.*?)(?=\\+"\s*[,}\]]|$)`, 'gim'),
    `$1${REDACTED}`,
  ],
  // JSON and logfmt inside a text.
  [
    new RegExp(String.raw`("?(?:${FIELDS})"?\s*[:=]\s*)("(?:[^"\\]|\\.)*"|'[^']*'|[^\s"'\\,;}{]+)`, 'gi'),
    `$1"${REDACTED}"`,
  ],
];
const BASE64 = /[A-Za-z0-9+/_-]{12,}={0,2}/g;
/** `user:password`, a JSON document, a private key. */
const OPENS = /^[\x21-\x39\x3B-\x7E]{1,128}:[\x20-\x7E]{4,}$|^\s*\{"|PRIVATE KEY-----/;

export function redactText(text: string): string {
  const known = PATTERNS.reduce((so, [pattern, instead]) => so.replaceAll(pattern, instead), text);
  return known.replaceAll(BASE64, (run) =>
    OPENS.test(Buffer.from(run, 'base64').toString('latin1')) ? REDACTED : run,
  );
}

/** Of an object of the API server, at whatever depth; what servers and tools note down for themselves is left out. */
export function redactObject(value: unknown): unknown {
  if (typeof value === 'string') return redactText(value);
  if (Array.isArray(value)) return value.map(redactObject);
  if (typeof value !== 'object' || value === null) return value;
  const fields = value as Readonly<Record<string, unknown>>;
  const isVariable = typeof fields['name'] === 'string' && typeof fields['value'] === 'string';
  const entries = Object.entries(fields)
    .filter(([key]) => key !== 'managedFields' && key !== 'kubectl.kubernetes.io/last-applied-configuration')
    .map(([key, field]): [string, unknown] => {
      const isSecret = SECRET_FIELD.test(key) && (typeof field === 'string' || typeof field === 'number');
      const isSecretVariable = isVariable && key === 'value' && SECRET_VARIABLE.test(String(fields['name']));
      return [key, isSecret || isSecretVariable ? REDACTED : redactObject(field)];
    });
  return Object.fromEntries(entries);
}
