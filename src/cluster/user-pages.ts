// A collection of the API server page by page, for who keeps none of it: as many objects as there are, never more at once than
// one page.
import { isProblem } from '../problem.ts';
import { fieldsOf, textOf } from '../core/fields.ts';
import type { KubeCall } from './kube-connection.ts';

export interface ListPage {
  readonly items: readonly unknown[];
  /** How many are still to come, as the API server guesses; 0 where it does not say. */
  readonly remaining: number;
}

/** Fewer make more calls, more make the API server hold more at once: kubectl's own. */
const PAGE = '500';

/**
 * A list that takes longer than the API server remembers (5 minutes) goes on from the same place in its present state:
 * what was there all the time comes exactly once.
 * https://kubernetes.io/docs/reference/using-api/api-concepts/#retrieving-large-results-sets-in-chunks
 * @throws Problem like a KubeConnection's call
 */
export async function* listPages(
  call: (wish: Omit<KubeCall, 'signal'>) => Promise<unknown>,
  path: string,
  query: Readonly<Record<string, string>> = {},
): AsyncGenerator<ListPage> {
  let next = '';
  let isRenewed = false;
  do {
    let renewed = '';
    try {
      const page = fieldsOf(
        await call({
          method: 'GET',
          path,
          query: { ...query, limit: PAGE, ...(next && { continue: next }) },
          onRefused: (_, token) => (renewed = token),
        }),
      );
      const { continue: token, remainingItemCount } = fieldsOf(page['metadata']);
      const items = Array.isArray(page['items']) ? page['items'] : [];
      yield { items, remaining: Number(remainingItemCount) || 0 };
      next = textOf(token);
      isRenewed = false;
    } catch (error) {
      const isExpired = isProblem(error) && error.details.upstream?.startsWith('410') === true;
      // An API server that answers its own token so would be asked for ever.
      if (!isExpired || renewed === '' || isRenewed) throw error;
      next = renewed;
      isRenewed = true;
    }
  } while (next !== '');
}
