// What pods wait for and is due, kept from look to look: of lists that have only grown what is new is looked at, and ten
// thousand needs behind one dead endpoint are skipped as one.
import { recordNameOf } from './recorded-need.ts';
import { eachAtLeisure, FEW } from './lookout.ts';
import type { Clock } from '../clock.ts';
import type { EndpointLimits } from './endpoint-limits.ts';
import type { Need } from '../core/pull-credential.ts';
import type { PlannedNeed } from '../core/pull-plan.ts';
import type { PodGate } from './pod-gate.ts';

export interface WantedNeeds {
  /** Has the gate look at its pods, and takes what they want. */
  review(now: number): Promise<void>;
  /** Those that may begin. */
  due(mayBegin: (planned: PlannedNeed) => boolean): Generator<PlannedNeed>;
}

export interface WantedNeedsTools {
  readonly podGate: PodGate;
  readonly limits: Pick<EndpointLimits, 'keyOf'>;
  readonly clock: Pick<Clock, 'afterTurn'>;
  dueAt(need: Need): number;
}

/** What is due of a list of the gate's, and how much of the list was looked at for it. */
interface Taken {
  readonly list: readonly PlannedNeed[];
  readonly count: number;
  /** By what they wait for, and by record. */
  readonly due: Map<string, Map<string, PlannedNeed>>;
}

export function createWantedNeeds({ podGate, limits, clock, dueAt }: WantedNeedsTools): WantedNeeds {
  let taken: readonly Taken[] = [];

  async function take(list: readonly PlannedNeed[], before: Taken | undefined, now: number): Promise<Taken> {
    const isKnown = before?.list === list && list.length > FEW;
    const due: Taken['due'] = isKnown ? before.due : new Map();
    const count = list.length;
    await eachAtLeisure(clock, list.slice(isKnown ? before.count : 0), (planned) => {
      if (dueAt(planned.need) > now) return;
      const key = limits.keyOf(planned);
      const alike = due.get(key) ?? new Map<string, PlannedNeed>();
      due.set(key, alike.set(recordNameOf(planned.need), planned));
    });
    return { list, count, due };
  }

  return {
    async review(now) {
      const lists = await podGate.review();
      taken = await Promise.all(lists.map((list, at) => take(list, taken[at], now)));
    },
    *due(mayBegin) {
      for (const { due } of taken) {
        for (const alike of due.values()) {
          const [first] = alike.values();
          if (first && mayBegin(first)) yield* alike.values();
        }
      }
    },
  };
}
