/** Rows in the form of cpuid -r, which prints 8 digits of every leaf and register: one with another number lost a digit. */

const VALUES = ['eax', 'ebx', 'ecx', 'edx'].map((name) => String.raw`${name}=0x(\w{1,40})`);
const ROW = new RegExp(String.raw`\b0x(\w{1,40})(?: 0x\w{1,40})?: ${VALUES.join(' ')}`, 'gi');

const isWrong = (digits: string): boolean => !/^[\da-f]{8}$/i.test(digits);

/** Whether the text's rows have leading zeros: not in those of a tool that prints none. */
export function isPadded(text: string): boolean {
  let [right, wrong, zeros] = [0, 0, false];
  for (const [, ...values] of text.matchAll(ROW)) {
    if (values.some(isWrong)) wrong++;
    else {
      right++;
      zeros ||= values.some((digits) => digits.startsWith('0'));
    }
  }
  return zeros && right >= wrong;
}

export function hasWrongDigits(text: string): boolean {
  return [...text.matchAll(ROW)].some(([, ...values]) => values.some(isWrong));
}

/** The line without its rows of another number of digits; one that breaks inside of its last number goes on in the next line. */
export function withoutWrongDigits(line: string): string {
  return line.replace(ROW, (row: string, ...groups: unknown[]) => {
    const values = groups.slice(0, 5) as string[];
    const wrong = values.findIndex(isWrong);
    if (wrong < 0) return row;
    const goesOn = wrong === 4 && /^[\da-f]{1,7}$/i.test(values[4]!) && line.trimEnd().endsWith(row);
    return goesOn ? row : '';
  });
}
