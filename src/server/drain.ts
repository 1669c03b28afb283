// How far stopping has come: shared by the port, its routes and readiness.

/**
 * `serving`; `closing`: all goes on, but every answer closes its connection; `refusing`: reviews are sent to other
 * replicas.
 */
export type DrainPhase = 'serving' | 'closing' | 'refusing';

export interface Drain {
  phase(): DrainPhase;
  close(): void;
  refuse(): void;
}

export function createDrain(): Drain {
  let phase: DrainPhase = 'serving';
  return {
    phase: () => phase,
    close() {
      if (phase === 'serving') phase = 'closing';
    },
    refuse() {
      phase = 'refusing';
    },
  };
}
