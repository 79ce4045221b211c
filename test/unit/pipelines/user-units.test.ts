import { UserUnits } from '../../../src/pipelines/document/user-units.ts';

const file = (text: string) => Buffer.from(`%PDF-1.7\n${text}\n`);

test('only a document that may have user units is searched for them', () => {
  expect(UserUnits.mayBeIn(file('1 0 obj<</Type/Page>>endobj'), 17)).toBe(false);
  expect(UserUnits.mayBeIn(file('1 0 obj<</Type/Page/UserUnit 2>>endobj'), 0)).toBe(true);
  expect(UserUnits.mayBeIn(file('1 0 obj<</Type/ObjStm>>endobj'), 16)).toBe(true);
  expect(UserUnits.mayBeIn(file('1 0 obj<</Type/ObjStm>>endobj'), 15)).toBe(false);
});

test('each page has its own', () => {
  const units = new UserUnits(
    file(
      '3 0 obj\n<</Type/Page/UserUnit 2.5>>\nendobj\n4 0 obj\n<</Type/Page>>\nendobj\n5 0 obj<</UserUnit 0>>endobj',
    ),
  );
  expect([3, 4, 5, 99].map((number) => units.of(number))).toEqual([2.5, 1, 1, 1]);
  expect(new UserUnits(null).of(3)).toBe(1);
});
