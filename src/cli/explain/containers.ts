// What the kubelet says of the containers: only pulls are our business.
import { fieldsOf, listOf, textOf } from '../../core/fields.ts';
import { failed, warning } from '../doctor/step.ts';
import { cureForPull } from './cures.ts';
import type { Chapter } from './story.ts';
import type { PodFacts } from './facts.ts';

const PULL_REASONS =
  /^(?:ErrImagePull|ImagePullBackOff|ErrImageNeverPull|InvalidImageName|RegistryUnavailable|ImageInspectError|SignatureValidationFailed)$/;
/** What every container goes through. */
const USUAL = /^(?:ContainerCreating|PodInitializing)$/;
/** A runtime may print a whole page of HTML. */
const LONGEST = 300;

export function containerChapters(facts: PodFacts): Chapter[] {
  const status = fieldsOf(facts.raw['status']);
  const lists = ['initContainerStatuses', 'containerStatuses', 'ephemeralContainerStatuses'];
  const containers = lists.flatMap((key) => listOf(status[key]));
  return containers.flatMap((container): Chapter[] => {
    const waiting = fieldsOf(fieldsOf(container['state'])['waiting']);
    const reason = textOf(waiting['reason']);
    if (reason === '' || USUAL.test(reason)) return [];
    const name = textOf(container['name']);
    const line = (textOf(waiting['message']).split('\n')[0] ?? '').slice(0, LONGEST);
    const found = `${name}: ${reason}${line && `: ${line}`}`;
    const image = facts.pod.images.find((one) => one.name === name)?.image ?? textOf(container['image']);
    if (PULL_REASONS.test(reason))
      return [{ about: 'container', ...failed(found, cureForPull(line, image, facts)) }];
    const cure = `the image is there; kubectl logs ${facts.pod.name} -c ${name} -n ${facts.pod.namespace} says more`;
    return [{ about: 'container', ...warning(found, cure) }];
  });
}
