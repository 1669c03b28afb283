// The AdmissionReview envelope, version 1: bytes to a request, a verdict to the bytes that the API server takes. The
// object inside stays raw, so that fields nobody here has heard of survive.
import { Problem } from '../problem.ts';
import { fieldsOf, textOf } from '../core/fields.ts';
import { nestsDeeperThan } from './json-depth.ts';
import type { Deny, Verdict } from './verdict.ts';

const REVIEW_API_VERSION = 'admission.k8s.io/v1';

/**
 * The API server takes objects of up to 3 MiB; an UPDATE carries the new and the old one, and user, groups and options
 * stay under 1 MiB (k8s.io/apiserver MaxRequestBodyBytes; controller-runtime has the same 7 MiB).
 */
export const LARGEST_REVIEW_BYTES = 7 * 1024 * 1024;

/** A pod with managed fields nests about 15 levels; deeper text costs the parser's stack and says nothing to us. */
const DEEPEST_REVIEW = 200;

/** What the API server asks. Texts are empty where the review has none. */
export interface AdmissionRequest {
  readonly uid: string;
  readonly group: string;
  readonly kind: string;
  readonly subResource: string;
  readonly name: string;
  readonly namespace: string;
  /** CREATE, UPDATE, DELETE or CONNECT. */
  readonly operation: string;
  readonly dryRun: boolean;
  /** As the API server sent it. */
  readonly object: unknown;
  readonly oldObject: unknown;
}

/** The API server's uids have 36 characters; what is sent back is bounded. */
const LONGEST_UID = 256;

/**
 * @param body at most LARGEST_REVIEW_BYTES
 * @throws Problem `review-malformed`: not JSON, too deep, no AdmissionReview v1, or without a uid
 */
export function readReview(body: Buffer): AdmissionRequest {
  const review = fieldsOf(parseJson(body));
  if (review['kind'] !== 'AdmissionReview') throw malformed('the body is no AdmissionReview');
  if (review['apiVersion'] !== REVIEW_API_VERSION)
    throw malformed(`only ${REVIEW_API_VERSION} is spoken here`);
  const request = fieldsOf(review['request']);
  const uid = request['uid'];
  if (typeof uid !== 'string' || uid === '' || uid.length > LONGEST_UID)
    throw malformed('the review has no request.uid');
  const kind = fieldsOf(request['kind']);
  return {
    uid,
    group: textOf(kind['group']),
    kind: textOf(kind['kind']),
    subResource: textOf(request['subResource']),
    name: textOf(request['name']),
    namespace: textOf(request['namespace']),
    operation: textOf(request['operation']),
    dryRun: request['dryRun'] === true,
    object: request['object'],
    oldObject: request['oldObject'],
  };
}

function parseJson(body: Buffer): unknown {
  if (body.length === 0) throw malformed('the body is empty');
  const text = body.toString('utf8');
  if (nestsDeeperThan(text, DEEPEST_REVIEW))
    throw malformed(`the body nests deeper than ${DEEPEST_REVIEW} levels`);
  try {
    return JSON.parse(text);
  } catch {
    // The parser's message quotes the body, and a body is never repeated.
    throw malformed('the body is no JSON');
  }
}

function malformed(message: string): Problem {
  return new Problem('review-malformed', message);
}

/**
 * The review that answers `request`, as JSON text: its own version, its own uid, and the patch in base64. Put together
 * by hand, because every pod of the cluster waits for it.
 */
export function writeReview({ uid }: AdmissionRequest, verdict: Verdict): string {
  const isAllowed = verdict.kind !== 'deny';
  let text = `${HEAD}"response":{"uid":${JSON.stringify(uid)},"allowed":${isAllowed}`;
  if (verdict.kind === 'patch') {
    const patch = Buffer.from(JSON.stringify(verdict.operations)).toString('base64');
    text += `,"patchType":"JSONPatch","patch":"${patch}"`;
  }
  if (verdict.kind === 'deny') text += `,"status":${JSON.stringify(statusOf(verdict))}`;
  if (verdict.warnings.length > 0) text += `,"warnings":${JSON.stringify(warningLines(verdict.warnings))}`;
  let annotations = '';
  for (const [key, value] of Object.entries(verdict.audit)) {
    annotations += `${annotations && ','}${JSON.stringify(key)}:${JSON.stringify(oneLine(value, LONGEST_AUDIT))}`;
  }
  if (annotations !== '') text += `,"auditAnnotations":{${annotations}}`;
  return `${text}}}`;
}

const HEAD = `{"apiVersion":"${REVIEW_API_VERSION}","kind":"AdmissionReview",`;

function statusOf({ status, message }: Deny): object {
  const reason = status < 500 ? 'Forbidden' : 'InternalError';
  return { status: 'Failure', code: status, reason, message: oneLine(message, LONGEST_MESSAGE) };
}

/** Ten findings and a cure; a longer denial is read by nobody. */
const LONGEST_MESSAGE = 4096;
/** Eight needs with names of 63 characters for rule and Secret are 1,100. */
const LONGEST_AUDIT = 2048;
/** To this the API server cuts every warning once all of a response's are over 4,096: 15 of ours stay below that. */
const LONGEST_WARNING = 256;
const MOST_WARNINGS = 15;

function warningLines(warnings: readonly string[]): string[] {
  const distinct = [...new Set(warnings)];
  const lines = distinct.slice(0, MOST_WARNINGS).map((text) => oneLine(text, LONGEST_WARNING));
  const more = distinct.length - lines.length;
  if (more > 0) lines[MOST_WARNINGS - 1] = `keyless-pull has ${more + 1} more warnings for this pod`;
  return lines;
}

/** Controls and line ends make the API server drop a text without a word, and unseen characters can deceive a terminal. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu;

const PLAIN = /^[ -~]*$/;

function oneLine(text: string, longest: number): string {
  if (text.length <= longest && PLAIN.test(text)) return text;
  const line = text.toWellFormed().replaceAll(UNPRINTABLE, ' ');
  if (line.length <= longest) return line;
  return `${line.slice(0, longest - 1).replace(/[\uD800-\uDBFF]$/, '')}…`;
}
