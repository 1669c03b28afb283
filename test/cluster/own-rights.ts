// What an account may do in a namespace, as the API server itself tells it.
import type { ApiRequest } from '../../tools/api-client.ts';

/** Every right in the namespace but what each account has, as `verb group/resource`, with a name where it is for one object; sorted. */
export async function rightsOf(who: ApiRequest, namespaceName: string): Promise<string[]> {
  interface Review {
    readonly status: {
      readonly resourceRules: {
        verbs: string[];
        apiGroups: string[];
        resources: string[];
        resourceNames?: string[];
      }[];
    };
  }
  const { body } = await who<Review>('POST', '/apis/authorization.k8s.io/v1/selfsubjectrulesreviews', {
    spec: { namespace: namespaceName },
  });
  const rights = body.status.resourceRules
    .filter(
      ({ apiGroups }) =>
        !apiGroups.includes('authorization.k8s.io') && !apiGroups.includes('authentication.k8s.io'),
    )
    .flatMap(({ verbs, apiGroups, resources, resourceNames = [''] }) =>
      verbs.flatMap((verb) =>
        apiGroups.flatMap((group) =>
          resources.flatMap((resource) =>
            resourceNames.map((name) => `${verb} ${group}/${resource} ${name}`.trimEnd()),
          ),
        ),
      ),
    );
  return [...new Set(rights)].toSorted();
}
