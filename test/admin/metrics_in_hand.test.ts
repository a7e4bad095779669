import { expect, it } from 'vitest';
import { metricsInHand } from '../../src/admin/metrics_in_hand.ts';
import { fakeBackend } from './fake_backend.ts';

it('asks the workers once for all who ask at the same time, and again after that', async () => {
  let count = 0;
  const fake = fakeBackend();
  const backend = {
    ...fake,
    metrics: () => {
      count++;
      return fake.metrics();
    },
  };
  await Promise.all([metricsInHand(backend), metricsInHand(backend), metricsInHand(backend)]);
  expect(count).toBe(1);
  await metricsInHand(backend);
  expect(count).toBe(2);
});
