"""What jobs are made of: document types, languages, failures, in the words of users."""

DOCUMENT_TYPES: dict[str, tuple[str, ...]] = {
    "invoice": (
        "contains invoice number, line items, and total amount",
        (
            "A request for payment issued by a supplier to a customer. It carries an invoice "
            "number, an issue date and a due date, line items with quantities and unit prices, a "
            "tax breakdown and a total amount payable. Credit notes and pro-forma invoices do not "
            "belong here."
        ),
    ),
    "receipt": (
        "proof of a payment already made, with merchant, date and total paid",
        "Till slip or e-mail receipt: merchant name, items bought, payment method and amount paid.",
    ),
    "contract": (
        "a signed or unsigned agreement between two or more parties, with clauses and signatures",
        (
            "Legal agreement that names its parties, sets out numbered obligations, a term, a "
            "governing law and a signature block. Includes amendments and addenda."
        ),
    ),
    "resume": (
        "a person's CV",
        "Curriculum vitae of a job applicant with work experience, education, skills and contacts.",
    ),
    "bank_statement": (
        "account statement of a bank with opening balance, transactions and closing balance",
        (
            "Kontoauszug: IBAN, Buchungstag, Wertstellung, Verwendungszweck und Saldo über einen "
            "Zeitraum (für Girokonten und Geschäftskonten)."
        ),
    ),
    "tax_form": (
        "official tax form such as W-2, 1099, 1040 or P60, filled in or blank",
        "A form published by a tax authority, recognisable by its form number and boxes.",
    ),
    "purchase_order": (
        "order sent by a buyer to a supplier, with PO number, articles, quantities and prices",
    ),
    "delivery_note": (
        "list of goods delivered, without prices, often with a signature of the receiver",
    ),
    "insurance_claim": (
        "claim form or letter that reports a loss or damage under an insurance policy",
        'Schadenmeldung with policy number, date of loss, "description of damage" and photos.',
    ),
    "medical_record": (
        "clinical notes, discharge letters or lab results about one patient",
        "Arztbrief / 診療記録: diagnoses with ICD-10 codes, medication, findings and follow-up.",
    ),
    "payslip": ("monthly statement of wages with gross pay, deductions and net pay",),
    "utility_bill": ("bill for electricity, gas, water or telephone, usable as proof of address",),
    "identity_document": ("passport, ID card or driving licence, a photo and a readable zone",),
    "research_paper": (
        "academic article with abstract, sections, figures and a list of references",
    ),
    "financial_report": (
        "annual or quarterly report with balance sheet, income statement and cash flow statement",
        (
            "10-K, 10-Q or annual report of a listed company. Look for audited statements, notes "
            "to the accounts, management's discussion and the date at which the fiscal year or "
            "quarter ends. Slide decks for investors are presentations, even where they show the "
            "same figures."
        ),
    ),
    "presentation": ("slides: large headings, few words a page, landscape format",),
    "email": ("printed or exported e-mail with From, To, Date and Subject lines",),
    "nda": ("confidentiality agreement that covers nothing but the protection of information",),
    "lease_agreement": (
        "rental contract for a flat, an office, a vehicle or equipment, with rent and deposit",
    ),
    "other": ("anything that fits none of the other types",),
}

LANGUAGES = {"en": 62, "de": 12, "fr": 6, "es": 6, "ja": 5, "ch_sim": 4, "pt": 3, "rs_latin": 2}

STATUSES = {"SUCCESS": 900, "ERROR": 45, "PARTIAL_SUCCESS": 35, "CANCELLED": 20}

FAILURES: dict[str, tuple[str, ...]] = {
    "ERROR": (
        "Classification failed: the model did not answer in time",
        "Could not parse file: PDF is encrypted",
        "Datei konnte nicht gelesen werden: ungültige Prüfsumme in „Übersicht März.pdf“",
        "ファイルを解析できませんでした: 請求書_2026年.pdf",
        "Unsupported file type: .heic 📷",
        'Traceback (most recent call last):\n  File "worker.py", line 88\nKeyError: "pages"',
    ),
    "PARTIAL_SUCCESS": (
        "2 of 17 files could not be classified",
        "1 file skipped: page limit exceeded ⚠️",
        "3 von 40 Dateien übersprungen: leere Seiten",
        "一部のファイルを分類できませんでした (4/250)",
    ),
}

TAGS = ("backfill", "nightly", "vip", "prüfen", "q4")

V2_STATUSES = {"COMPLETED": 930, "FAILED": 50, "CANCELLED": 20}

V2_FAILURES = (
    "Classification failed: the model did not answer in time",
    "Could not parse file: PDF is encrypted",
    "Datei „Übersicht März.pdf“ ist leer",
    "ファイルを解析できませんでした: 請求書_2026年.pdf",
    "Parse job was cancelled",
)

REASONS = (
    "The document carries the fields that the rule for {type} asks for on its first page.",
    "Heading and layout are those of {type}; no other rule comes close.",
    "Der Text spricht für „{type}“: Überschrift, Tabelle und Summe sind vorhanden.",
    "見出しと表の形式から「{type}」と判断しました。",
    'Matches {type}.\nThe footer says "page 1 of 3" 📄',
)

NO_MATCH = "None of the rules describes this document."

PROJECT_NAMES = ("Default", "Accounts payable", "Büro Zürich")

SAMPLE_URL = "https://files.example.com/{name}.pdf"
