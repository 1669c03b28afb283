// The API server's audit log: the policy that fills it, and reading it so that tests can count requests.
import { readFileSync } from 'node:fs';
import { stringify } from 'yaml';

/** One request as the API server saw it. */
export interface AuditEvent {
  readonly user: string;
  readonly userAgent: string;
  readonly verb: string;
  readonly path: string;
  /** Plural, with "/subresource" where there is one; empty for paths that are no resource. */
  readonly resource: string;
  readonly namespace: string;
  readonly name: string;
  /** 0 while the request has not been answered. */
  readonly status: number;
  /** Epoch milliseconds at which the request arrived. */
  readonly receivedAt: number;
}

/** A policy (YAML) that records who asked what, without bodies: tokens and Secrets never reach the log. */
export const AUDIT_POLICY = stringify({
  apiVersion: 'audit.k8s.io/v1',
  kind: 'Policy',
  omitStages: ['RequestReceived'],
  rules: [{ level: 'Metadata' }],
});

/** Every request in the log, once each, in the order of their arrival; a watch is there as soon as it has begun. */
export function readAuditLog(file: string): AuditEvent[] {
  const events = new Map<string, AuditEvent>();
  // Behind the last line end there may be half a line that is still being written.
  const lines = readFileSync(file, 'utf8').split('\n').slice(0, -1);
  for (const line of lines) {
    // https://kubernetes.io/docs/reference/config-api/apiserver-audit.v1/#audit-k8s-io-v1-Event
    const event = JSON.parse(line) as RawEvent;
    // A long request is logged at its start and at its end, under one id.
    events.set(event.auditID, eventOf(event));
  }
  return [...events.values()].toSorted((left, right) => left.receivedAt - right.receivedAt);
}

interface RawEvent {
  readonly auditID: string;
  readonly requestURI: string;
  readonly verb: string;
  readonly user: { readonly username: string };
  readonly userAgent?: string;
  readonly objectRef?: {
    readonly resource?: string;
    readonly subresource?: string;
    readonly namespace?: string;
    readonly name?: string;
  };
  readonly responseStatus?: { readonly code?: number };
  readonly requestReceivedTimestamp: string;
}

function eventOf(event: RawEvent): AuditEvent {
  const { resource = '', subresource, namespace = '', name = '' } = event.objectRef ?? {};
  return {
    user: event.user.username,
    userAgent: event.userAgent ?? '',
    verb: event.verb,
    path: event.requestURI,
    resource: subresource ? `${resource}/${subresource}` : resource,
    namespace,
    name,
    status: event.responseStatus?.code ?? 0,
    receivedAt: Date.parse(event.requestReceivedTimestamp),
  };
}
