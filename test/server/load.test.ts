import { EventEmitter } from 'node:events';
import type { Duplex } from 'node:stream';
import { expect, test } from 'vitest';
import { createLoad } from '../../src/server/load.ts';
import { createHandClock } from '../fakes/hand-clock.ts';

const MIB = 2 ** 20;

function createWorld(limits: { descriptors?: number; memory?: number } = {}) {
  const clock = createHandClock();
  const world = { inUse: 0 };
  const { descriptors = 1_000_000, memory = Infinity } = limits;
  const load = createLoad(clock, { descriptors, memory, memoryInUse: () => world.inUse });
  const open = () => {
    const socket = new EventEmitter();
    load.connected(socket as unknown as Duplex);
    return () => void socket.emit('close');
  };
  return Object.assign(world, { clock, load, open });
}

test('with descriptors to spare, 2,048 connections may be open', () => {
  expect(createWorld().load.mostConnections).toBe(2_048);
});

test('with 256 descriptors, 64 are kept for ourselves, and above three quarters of the rest reviews are sent away', () => {
  const { load, open } = createWorld({ descriptors: 256 });
  const closings = Array.from({ length: 144 }, open);

  expect(load.mostConnections).toBe(192);
  expect(load.isOver()).toBeUndefined();
  const close = open();
  expect(load.isOver()).toBe('this replica has too many connections');
  close();
  expect(load.isOver()).toBeUndefined();
  for (const end of closings) end();
});

test('above 1,024 reviews at once those that come are sent away, and taken again when others are answered', () => {
  const { load } = createWorld();
  const ends = Array.from({ length: 1_025 }, () => load.begin());

  expect(load.isOver()).toBe('this replica has too many reviews at once');
  ends.pop()?.();
  expect(load.isOver()).toBeUndefined();
});

test('near the end of its memory it takes eight at once and no more, looked at every 50 ms', async () => {
  const world = createWorld({ memory: 100 * MIB });
  const ends = Array.from({ length: 8 }, () => world.load.begin());
  world.inUse = 93 * MIB;
  expect(world.load.isOver()).toBeUndefined();

  ends.push(world.load.begin());
  expect(world.load.isOver()).toBe('this replica is short of memory');
  ends.pop()?.();
  expect(world.load.isOver()).toBeUndefined();

  ends.push(world.load.begin());
  world.inUse = 91 * MIB;
  expect(world.load.isOver()).toBe('this replica is short of memory');
  await world.clock.advance(50);
  expect(world.load.isOver()).toBeUndefined();
});

test('this very process knows limits of its own', () => {
  expect(createLoad(createHandClock()).mostConnections).toBeGreaterThan(16);
  expect(createLoad(createHandClock()).isOver()).toBeUndefined();
});
